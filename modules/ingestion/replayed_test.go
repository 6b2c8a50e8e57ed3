package ingestion

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

// unsignedHeaders are those in which providers say what event a request is of.
var unsignedHeaders = []string{
	"X-GitHub-Delivery", "X-GitHub-Event", "Idempotency-Key", "Webhook-Id", "Svix-Id", "X-Gitlab-Event-Uuid", "X-Gitlab-Event", "Linear-Delivery", "Linear-Event",
	"X-Shopify-Event-Id", "X-Shopify-Webhook-Id", "X-Shopify-Topic", "I-Twilio-Idempotency-Token", "X-Zendesk-Webhook-Invocation-Id", "Content-Type",
}

func remembering(quarantine bool) func(*Config, *Deps) {
	return func(c *Config, _ *Deps) {
		c.PossibleReplays = PossibleReplays{Window: 24 * time.Hour, Quarantine: quarantine}
	}
}

// githubRequest is a signed push under a delivery id.
func githubRequest(t *testing.T, body, delivery string) *http.Request {
	t.Helper()
	spec, _ := provider.Builtin().Spec("github")
	req := provider.Request{URL: "http://example.com/api/v1/webhooks/github-source", Header: http.Header{
		"Content-Type": {"application/json"}, "X-Github-Delivery": {delivery}, "X-Github-Event": {"push"}}, Body: []byte(body), ReceivedAt: then}
	require.NoError(t, spec.Verify.(provider.Signer).SignRequest(&req, sampleKey("github")))
	return incoming(req)
}

// A captured request that is sent again, with whatever its headers say changed, is refused,
// a duplicate, or marked: nothing passes for a new event.
func TestACapturedRequestIsNeverANewEvent(t *testing.T) {
	for _, s := range provider.Builtin().Specs() {
		if !s.Signable() || !s.Uses(provider.Signing) {
			continue // a token proves nothing of the body
		}
		if s.Deduplication.By == provider.ByNone {
			require.Contains(t, s.Caveats(), "A captured request that is sent again is a new event", s.Name)
			continue // the provider itself sends the same signed message for each change
		}
		t.Run(s.Name, func(t *testing.T) {
			g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, remembering(false))
			held, err := s.SecretFor(sampleKey(s.Name))
			require.NoError(t, err)
			g.addProvider(s.Name, held)
			for _, sample := range s.Samples {
				captured := func() provider.Request {
					req, err := s.SampleRequest(sample, sampleKey(s.Name), then, "http://example.com/api/v1/webhooks/"+s.Name+"-source", "genuine")
					require.NoError(t, err)
					return req
				}
				require.Less(t, g.plain(incoming(captured())).Code, 300)
				genuine := g.unmarked()
				for _, name := range unsignedHeaders {
					forged := captured()
					forged.Header.Set(name, "forged")
					if name == "Content-Type" {
						forged.Header.Set(name, "application/x-www-form-urlencoded")
					}
					_ = g.plain(incoming(forged))
					require.Equal(t, genuine, g.unmarked(), "%s changed in %s", name, sample.Type)
				}
			}
		})
	}
}

// unmarked is the number of webhooks that pass for new ones.
func (g *gateway) unmarked() (n int) {
	require.NoError(g.t, g.db.Get(g.t.Context(), &n, `SELECT count(*) FROM webhook_events WHERE NOT possible_replay`))
	return n
}

func TestAPossibleReplayIsMarkedAndSeen(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen, remembering(false))
		g.addProvider("github", sampleKey("github"))
		const push = `{"ref":"refs/heads/main"}`
		first := g.do(githubRequest(t, push, "d1")).receipt(t)
		require.True(t, g.do(githubRequest(t, push, "d1")).receipt(t).Duplicate, "the provider's own repeat is none")
		again := g.do(githubRequest(t, push, "d2")).receipt(t)
		require.False(t, again.Duplicate)
		other := g.do(githubRequest(t, `{"ref":"refs/heads/next"}`, "d3")).receipt(t)
		for eventID, want := range map[string]bool{first.EventID: false, again.EventID: true, other.EventID: false} {
			var event struct {
				Webhook struct {
					PossibleReplay bool `json:"possibleReplay"`
				} `json:"webhook"`
			}
			require.NoError(t, json.Unmarshal(g.get("/events/"+eventID).Data, &event))
			require.Equal(t, want, event.Webhook.PossibleReplay)
		}
		var details []string
		require.NoError(t, db.Select(t.Context(), &details, `SELECT details FROM audit_entries WHERE action = 'webhook.possible_replay'`))
		require.Len(t, details, 1)
		require.Contains(t, details[0], again.EventID)
	})
}

func TestWebhooksOfOneCommitAreComparedWithEachOther(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), remembering(false))
	first, second := g.webhook("t", "a"), g.webhook("t", "b")
	first.signature, second.signature = "s", "s"
	for _, r := range g.module.commit([]verifiedWebhook{first, second}) {
		require.NoError(t, r.Err)
	}
	require.Equal(t, 1, g.unmarked())
}

func TestAPossibleReplayMayBeQuarantinedAndReleased(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, remembering(true))
	g.addProvider("github", sampleKey("github"))
	require.Equal(t, http.StatusAccepted, g.do(githubRequest(t, `{}`, "d1")).Status)
	require.Equal(t, http.StatusUnauthorized, g.do(githubRequest(t, `{}`, "d2")).Status)
	require.Equal(t, "possible_replay", g.audit.take()[0].Reason)
	require.Equal(t, http.StatusOK, g.do(githubRequest(t, `{}`, "d1")).Status, "the provider's own repeat is a duplicate")
	require.NoError(t, g.module.flushQuarantine(t.Context()))
	var id string
	require.NoError(t, g.db.Get(t.Context(), &id, `SELECT id FROM quarantine WHERE reason = 'possible_replay'`))
	released, err := g.module.Release(t.Context(), id)
	require.NoError(t, err)
	require.False(t, released.Duplicate)
	require.Equal(t, 1, g.unmarked(), "it stays marked")
}

func TestSignaturesAreRememberedForTheirWindow(t *testing.T) {
	now := then
	for _, c := range []struct {
		name   string
		window time.Duration
		after  time.Duration
		marked bool
	}{
		{"within the window", time.Hour, 59 * time.Minute, true},
		{"and not beyond it", time.Hour, time.Hour, false},
		{"0 turns it off", 0, time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now = then
			g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(cfg *Config, d *Deps) {
				cfg.PossibleReplays.Window, d.Now = c.window, func() time.Time { return now }
				d.Cache = memoryAt(&now)
			})
			g.addProvider("github", sampleKey("github"))
			require.Equal(t, http.StatusAccepted, g.do(githubRequest(t, `{}`, "d1")).Status)
			now = then.Add(c.after)
			require.Equal(t, http.StatusAccepted, g.do(githubRequest(t, `{}`, "d2")).Status)
			require.Equal(t, c.marked, g.unmarked() == 1)
		})
	}
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, remembering(true), func(_ *Config, d *Deps) { d.Cache = down{} })
	g.addProvider("github", sampleKey("github"))
	for _, delivery := range []string{"d1", "d2"} {
		require.Equal(t, http.StatusAccepted, g.do(githubRequest(t, `{}`, delivery)).Status, "without the cache nothing is lost")
	}
}

// An integration chooses for itself what becomes of a possible replay.
func TestAnIntegrationMarksOrQuarantinesPossibleReplays(t *testing.T) {
	for _, c := range []struct {
		all    bool // quarantined by default
		own    string
		status int
	}{
		{false, "", http.StatusAccepted}, {true, "", http.StatusUnauthorized},
		{false, provider.QuarantineReplays, http.StatusUnauthorized}, {true, provider.MarkReplays, http.StatusAccepted},
	} {
		g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, remembering(c.all))
		g.addProvider("github", sampleKey("github"))
		g.sources.change("github-source", func(s *settings) { s.Options.PossibleReplays = c.own })
		require.Equal(t, http.StatusAccepted, g.do(githubRequest(t, `{"ref":"main"}`, "d1")).Status)
		require.Equal(t, c.status, g.do(githubRequest(t, `{"ref":"main"}`, "d2")).Status, "%+v", c)
		require.Equal(t, http.StatusOK, g.do(githubRequest(t, `{"ref":"main"}`, "d1")).Status, "a retry is none")
	}
	for name, option := range map[string]string{"github": "ignore", "stripe": provider.MarkReplays} {
		_, err := provider.Builtin().Configure(name, provider.Options{PossibleReplays: option})
		require.Equal(t, "options.possibleReplays", fault.As(err).Fields[0].Field)
	}
}
