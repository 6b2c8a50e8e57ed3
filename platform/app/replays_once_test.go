package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const onceSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// onceURL is a path of the receiver that is no destination's.
func (r *replayed) onceURL() string {
	return strings.TrimSuffix(r.fixture.text(`SELECT url FROM destinations WHERE id = $1`, r.destination("/a")), "/a") + "/once"
}

func (r *replayed) times(path string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, count := range r.received {
		if strings.HasSuffix(what, path) {
			n += count
		}
	}
	return n
}

func TestEventsAreReplayedToAURLAndTheirOwnDeliveriesLeftAlone(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := newReplayed(t, db, 5)
		r.failing = "/b"
		r.working()
		r.settled()
		once := r.onceURL()
		count := func(table string) string { return r.fixture.text(`SELECT count(*) FROM ` + table) }
		states := `SELECT count(*) FROM event_states WHERE status = 'failed'`
		before := []string{count("processing_jobs"), count("delivery_attempts"), count("dead_letters"), r.fixture.text(states)}
		require.Equal(t, "5", before[3])

		body := `{"filter":{"source":"one","onlyFailed":true},"url":"` + once + `","signingSecret":"` + onceSecret + `","rate":10000,"reason":"to look at them"}`
		status, answer := r.ask("operator", "POST", "/replays", body)
		require.Equal(t, http.StatusForbidden, status, "whoever may not add destinations may not send elsewhere")
		require.Contains(t, answer["message"], "needs the role admin")
		status, answer = r.ask("operator", "POST", "/events/"+r.fixture.text(`SELECT min(CAST(id AS text)) FROM normalized_events`)+"/replay",
			`{"url":"`+once+`","signingSecret":"`+onceSecret+`","reason":"to look at it"}`)
		require.Equal(t, http.StatusForbidden, status, answer)
		status, answer = r.ask("admin", "POST", "/replays", strings.Replace(body, once, "http://169.254.169.254/", 1))
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer["message"], "url", "egress refuses it")

		status, replay := r.ask("admin", "POST", "/replays", body)
		require.Equal(t, http.StatusAccepted, status, replay)
		require.NotContains(t, fmt.Sprint(replay), onceSecret)
		require.Eventually(t, func() bool {
			_, replay = r.ask("viewer", "GET", "/replays/"+replay["id"].(string), "")
			return replay["status"] == "completed"
		}, time.Minute, 20*time.Millisecond)
		require.Equal(t, map[string]any{"matched": 5.0, "queued": 5.0, "delivered": 5.0, "failed": 0.0}, replay["counts"])
		require.Equal(t, 5, r.times("/once"))
		require.Equal(t, before, []string{count("processing_jobs"), count("delivery_attempts"), count("dead_letters"), r.fixture.text(states)})
		require.Equal(t, "5", r.fixture.text(`SELECT count(*) FROM replay_requests WHERE http_status = 200 AND attempts = 1 AND status = 'completed'`))
		require.Equal(t, "0", r.fixture.text(`SELECT count(signing_secret) FROM replay_urls`))
		require.True(t, r.fixture.verify(false).Holds)

		eventID := r.fixture.text(`SELECT min(CAST(event_id AS text)) FROM event_states WHERE status = 'failed'`)
		status, single := r.ask("admin", "POST", "/events/"+eventID+"/replay", `{"url":"`+once+`","signingSecret":"`+onceSecret+`","reason":"to look at it"}`)
		require.Equal(t, http.StatusAccepted, status, single)
		require.Eventually(t, func() bool {
			_, shown := r.ask("viewer", "GET", "/replay-requests/"+single["replayRequestId"].(string), "")
			return shown["status"] == "completed" && shown["url"] == once
		}, time.Minute, 20*time.Millisecond)
		require.Equal(t, 6, r.times("/once"))
		require.Equal(t, before, []string{count("processing_jobs"), count("delivery_attempts"), count("dead_letters"), r.fixture.text(states)})
	})
}

// TestEventsAreReplayedAsTheMappingOfNowMakesThem counts in a dry run, and sends, what a source's
// changed mapping makes of its events.
func TestEventsAreReplayedAsTheMappingOfNowMakesThem(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db, "MAX_PROCESSING_RETRIES", "1")
		r := &replayed{guarded: g, fixture: &fixture{system: g.system, t: t}}
		var mu sync.Mutex
		var bodies []string
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			mu.Lock()
			defer mu.Unlock()
			bodies = append(bodies, string(body))
		}))
		t.Cleanup(receiver.Close)
		mapping := func(subject string) provider.Options {
			return provider.Options{Generic: &provider.Definition{Proof: provider.Proof{Scheme: "token", Signature: provider.SignatureDefinition{Header: "X-Token"}},
				Event: provider.EventDefinition{ID: provider.At("$.id"), Type: provider.At("$.type"), Subject: provider.At(subject)}}}
		}
		var integrationID string
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) (err error) {
			options := mapping("$.old")
			made, err := r.integrations.CreateIntegration(t.Context(), tx, integrations.IntegrationConfig{Source: "shop", Provider: "generic", Options: &options,
				Secrets: []integrations.SecretConfig{{Value: secret.New("a-token-of-shop")}}, Destinations: []contract.DestinationConfig{{URL: &receiver.URL}}})
			integrationID = made.ID
			return err
		}))
		sender := demoSource{name: "shop", secret: "a-token-of-shop", header: "X-Token"}
		for i := range 6 {
			fields := `"new":"new-` + fmt.Sprint(i) + `"`
			if i == 5 {
				fields = `"new":"old-5"`
			}
			require.NoError(t, r.post(context.Background(), sender, fmt.Sprintf(`{"id":"e%d","type":"order","old":"old-%d",%s}`, i, i, fields)))
		}
		r.working()
		r.settled()
		status, answer := r.ask("admin", "PATCH", "/integrations/"+integrationID,
			`{"options":{"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":{"id":"$.id","type":"$.type","subject":"$.new"}}}}`)
		require.Equal(t, http.StatusOK, status, answer)

		status, dry := r.ask("operator", "POST", "/replays", `{"filter":{"source":"shop"},"payload":"renormalized","dryRun":true}`)
		require.Equal(t, http.StatusOK, status, dry)
		changes := dry["changes"].(map[string]any)
		require.Equal(t, []any{5.0, 1.0, 0.0}, []any{changes["changed"], changes["unchanged"], changes["failing"]})
		require.Equal(t, []any{map[string]any{"path": "$.subject", "before": `"old-0"`, "after": `"new-0"`}},
			changes["first"].([]any)[0].(map[string]any)["changes"])

		stored := r.fixture.text(`SELECT count(*) FROM normalized_events WHERE subject LIKE 'old-%'`)
		mu.Lock()
		bodies = nil
		mu.Unlock()
		replay := r.replayAll(`{"filter":{"source":"shop"},"payload":"renormalized","rate":10000,"reason":"the mapping was wrong"}`)
		require.Equal(t, map[string]any{"matched": 6.0, "queued": 6.0, "delivered": 6.0, "failed": 0.0}, replay["counts"])
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(bodies)
		require.Len(t, bodies, 6)
		for i, body := range bodies[:5] {
			require.Contains(t, body, fmt.Sprintf(`"subject":"new-%d"`, i))
		}
		require.Equal(t, stored, r.fixture.text(`SELECT count(*) FROM normalized_events WHERE subject LIKE 'old-%'`), "what is stored stays")
		require.True(t, r.fixture.verify(false).Holds)
	})
}
