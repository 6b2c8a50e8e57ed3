package ingestion

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

const pathOptions = `{"generic":{"scheme":"token","signature":{"at":["path:1"]},"event":{"id":"$.id","type":"$.type"}}}`

func pathRequest(source, path, body string) *http.Request {
	r := request(source, body)
	r.URL.Path += path
	return r
}

func TestATokenInThePathIsNeverStored(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for source, token := range map[string]string{"bots": "the-first-token-of-bots", "others": "the-token-of-others"} {
			require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations", `{"source":"`+source+`","provider":"generic","secrets":["`+token+`"],"options":`+pathOptions+`}`).Status)
		}
		require.Equal(t, http.StatusAccepted, g.do(pathRequest("bots", "/the-first-token-of-bots", `{"id":"1","type":"a"}`)).Status)
		for _, path := range []string{"/the-token-of-others", "/the-next-token-of-bots", ""} {
			require.Equal(t, http.StatusUnauthorized, g.do(pathRequest("bots", path, `{"id":"2","type":"a"}`)).Status, path)
		}
		for _, path := range []string{"/the-first-token-of-bots/more", "/x/the-first-token-of-bots"} {
			require.Equal(t, http.StatusNotFound, g.do(pathRequest("bots", path, `{"id":"3","type":"a"}`)).Status, "nothing reads a second segment")
		}
		require.NoError(t, g.module.flushQuarantine(context.Background()))
		var rows []struct {
			URL     string `db:"url"`
			Digests string `db:"header_digests"`
		}
		require.NoError(t, db.Select(t.Context(), &rows, "SELECT url, header_digests FROM quarantine"))
		require.Len(t, rows, 3)
		for _, row := range rows {
			require.NotContains(t, row.URL+strings.ReplaceAll(row.Digests, "digest:", ""), "token-of")
		}

		g.sources.change("bots", func(s *settings) { s.Secrets = append(s.Secrets, "the-next-token-of-bots") })
		released := 0
		for _, q := range g.kept() {
			if _, err := g.module.Release(t.Context(), q.ID); err == nil {
				released++
			}
		}
		require.Equal(t, 1, released, "the one whose token is right now")
		require.Equal(t, 2, g.count("normalized_events"))
	})
}

func TestAnAddressWithMoreSegmentsIsNobodys(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodOptions} {
		r := acmeRequest(acmeBody("1"))
		r.Method, r.URL.Path = method, r.URL.Path+"/a-token"
		require.Equal(t, http.StatusNotFound, g.do(r).Status, method)
	}
	require.Zero(t, g.stored())
	require.Empty(t, g.kept())
	for _, refusal := range g.audit.take() {
		text, err := json.Marshal(refusal)
		require.NoError(t, err)
		require.NotContains(t, string(text), "a-token")
	}
}

func TestATraceHasNoTokenOfThePath(t *testing.T) {
	tracedGateway(t, func(t *testing.T, g *gateway, c *testkit.Collector) {
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations", `{"source":"bots","provider":"generic","secrets":["the-first-token-of-bots"],"options":`+pathOptions+`}`).Status)
		eventID := g.do(pathRequest("bots", "/the-first-token-of-bots", `{"id":"1","type":"a"}`)).receipt(t).EventID
		text, err := json.Marshal(arrive(t, c, eventID, 3))
		require.NoError(t, err)
		require.Contains(t, string(text), "/api/v1/webhooks/bots/[redacted]")
		require.NotContains(t, string(text), "the-first-token")
	})
}

func TestTheMethodOfAStoredWebhook(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	options := func(methods string) string {
		return `{"generic":{"scheme":"token","signature":{"header":"X-Token"},"methods":` + methods + `,"event":{"id":"$.id","type":{"join":["text:order","method"],"with":"."}}}}`
	}
	require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations", `{"source":"shop","provider":"generic","secrets":["a-token-of-shop"],"options":`+options(`["PUT"]`)+`}`).Status)
	r := request("shop", `{"id":"1"}`)
	r.Method = http.MethodPut
	r.Header.Set("X-Token", "a-token-of-shop")
	eventID := g.do(r).receipt(t).EventID
	again := g.renormalize(eventID)[0]
	require.NoError(t, again.Problem)
	require.Equal(t, "order.PUT", again.EventType, "it came by PUT")
	require.Equal(t, string(again.Stored), string(again.Payload))

	g.sources.change("shop", func(s *settings) { s.Options.Generic.Methods = []string{"POST", "PUT"} })
	require.ErrorContains(t, g.renormalize(eventID)[0].Problem, "not stored with a webhook", "nobody knows which")
	g.sources.change("shop", func(s *settings) {
		s.Options.Generic.Event.Type.With = "-"
		s.Options.Generic.Event.Type.Join = s.Options.Generic.Event.Type.Join[:1]
	})
	require.NoError(t, g.renormalize(eventID)[0].Problem, "the mapping does not ask")
}
