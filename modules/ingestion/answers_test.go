package ingestion

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

// answering sets up a source whose definition has answers of its own.
func (g *gateway) answering(a provider.AnswersDefinition) {
	id := g.sources.add("own", "generic", "a-token-of-tests")
	g.sources.change(id, func(s *settings) {
		s.Options.Generic = &provider.Definition{
			Proof: provider.Proof{Scheme: "token", Signature: provider.SignatureDefinition{Header: "X-Token"}},
			Event: provider.EventDefinition{ID: provider.At("$.id"), Type: provider.At("text:a"), Items: provider.Items{Each: true}}, Answer: a,
		}
	})
}

func (g *gateway) ownAnswer(token, body string) *httptest.ResponseRecorder {
	r := request("own", body)
	r.Header.Set("X-Token", token)
	return g.plain(r)
}

func TestAWebhookIsAnsweredByItsOutcome(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, func(c *Config, _ *Deps) { c.FailureLimitPerMinute = 2 })
		g.answering(provider.AnswersDefinition{
			AnswerDefinition: provider.AnswerDefinition{Status: http.StatusOK, Body: "[accepted]"},
			Duplicate:        &provider.AnswerDefinition{Status: http.StatusAlreadyReported, ContentType: "application/json", Body: `{"known":true}`},
			Refused:          &provider.AnswerDefinition{Status: http.StatusForbidden, Headers: map[string]string{"X-Why": "signature"}},
		})
		first := g.ownAnswer("a-token-of-tests", `[{"id":"1"}]`)
		require.Equal(t, []any{200, "[accepted]", "queued"}, []any{first.Code, first.Body.String(), first.Header().Get(headerEventStatus)})
		again := g.ownAnswer("a-token-of-tests", `[{"id":"1"}]`)
		require.Equal(t, []any{208, `{"known":true}`, "duplicate"}, []any{again.Code, again.Body.String(), again.Header().Get(headerEventStatus)})
		require.Equal(t, first.Header().Get(headerEventID), again.Header().Get(headerEventID))
		empty := g.ownAnswer("a-token-of-tests", `[]`)
		require.Equal(t, []any{200, "[accepted]", "empty"}, []any{empty.Code, empty.Body.String(), empty.Header().Get(headerEventStatus)})
		require.NotContains(t, empty.Header(), headerEventID)

		forged := g.ownAnswer("another", `[{"id":"2"}]`)
		require.Equal(t, []any{403, "", "signature"}, []any{forged.Code, forged.Body.String(), forged.Header().Get("X-Why")})
		require.NotContains(t, forged.Header(), headerEventStatus)
		broken := g.ownAnswer("a-token-of-tests", `[{"id":`)
		require.Equal(t, []any{403, ""}, []any{broken.Code, broken.Body.String()})
		require.Len(t, g.kept(), 2, "what is refused is kept, whatever the answer")
		require.Len(t, g.audit.take(), 2)
		require.Equal(t, 1, g.count("normalized_events"))

		large := g.ownAnswer("a-token-of-tests", `[{"id":"`+string(make([]byte, 64<<10))+`"}]`)
		require.Equal(t, http.StatusRequestEntityTooLarge, large.Code, "it was not read")
		limited := g.ownAnswer("another", `[{"id":"3"}]`)
		require.Equal(t, http.StatusTooManyRequests, limited.Code, "a client that is limited is told to wait")
	})
}

// An outage is never answered as a refusal: the provider would not send the webhook again.
func TestAnOutageIsNoRefusal(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.answering(provider.AnswersDefinition{AnswerDefinition: provider.AnswerDefinition{Status: http.StatusOK}, Refused: &provider.AnswerDefinition{Status: http.StatusUnauthorized}})
		g.audit.poison, g.audit.failure = "own", fault.Unavailable.New("away", "The database is away.")
		require.Equal(t, http.StatusServiceUnavailable, g.ownAnswer("a-token-of-tests", `[{"id":"1"}]`).Code)
	})
}
