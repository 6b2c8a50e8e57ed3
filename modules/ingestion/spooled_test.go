package ingestion

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/ingestion/spool"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// outcomes counts what became of spooled webhooks, and keeps their messages.
type outcomes struct {
	*broker.Memory
	mu       sync.Mutex
	n        map[string]int
	messages [][]byte
}

func (o *outcomes) Publish(ctx context.Context, messages []broker.Message) []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		o.messages = append(o.messages, m.Body)
	}
	return o.Memory.Publish(ctx, messages)
}

func (o *outcomes) Spooled(outcome string, webhooks, _ int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n[outcome] += webhooks
}

func (o *outcomes) of(outcome string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n[outcome]
}

// spooling is a gateway with a spool, and what happens in it.
func spooling(t *testing.T, db *database.DB) (*gateway, *spool.Spool, *outcomes) {
	o := &outcomes{Memory: broker.NewMemory(clock.System, nil), n: map[string]int{}}
	t.Cleanup(func() { _ = o.Close() })
	s := spool.New(spool.Config{Pause: time.Millisecond, Look: time.Millisecond},
		spool.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Broker: o, Digester: rot13{}, Metrics: o})
	return setup(t, db, func(_ *Config, d *Deps) { d.Spool = s }), s, o
}

// stored runs the gateway until n spooled webhooks are stored or known.
func (o *outcomes) stored(t *testing.T, g *gateway, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.module.drainSpool(ctx) }()
	require.Eventually(t, func() bool { return o.of(spool.Stored)+o.of(spool.Repeated) >= n }, 20*time.Second, time.Millisecond)
	stop()
	<-done
}

// awayNow lets two heartbeats fail.
func awayNow(s *spool.Spool) {
	s.Beat(false)
	s.Beat(false)
}

// TestAnOutageLosesNoWebhook: what arrives while the database is away is accepted, and stored when
// it is back, with the ids that the sender was told. A repeat is found then.
func TestAnOutageLosesNoWebhook(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, s, o := spooling(t, db)
		before := g.do(acmeRequest(acmeBody("before"))).receipt(t)
		awayNow(s)
		var first receipt
		for i, id := range []string{"a", "b", "a", "before"} {
			a := g.do(acmeRequest(acmeBody(id)))
			require.Equal(t, http.StatusAccepted, a.Status, a.Error)
			r := a.receipt(t)
			require.Equal(t, statusQueued, r.Status)
			require.False(t, r.Duplicate, "the database is not asked")
			require.NotEmpty(t, r.CorrelationID)
			if i == 0 {
				first = r
			}
			if i == 3 {
				require.NotEqual(t, before.EventID, r.EventID)
			}
		}
		bad := acmeRequest(acmeBody("c"))
		bad.Header.Set("X-Acme-Signature", "00")
		require.Equal(t, http.StatusUnauthorized, g.do(bad).Status, "what is not verified never reaches the spool")
		require.Equal(t, 4, o.of("spooled"))
		require.Equal(t, 1, g.count("normalized_events"))

		s.Beat(true)
		o.stored(t, g, 4)
		require.Equal(t, 2, o.of(spool.Stored))
		require.Equal(t, 2, o.of(spool.Repeated))
		require.Equal(t, 3, g.count("normalized_events"))
		a := g.get("/events/" + first.EventID)
		require.Equal(t, http.StatusOK, a.Status)
		var shown struct {
			Event   struct{ CorrelationID, ExternalEventID string }
			Webhook struct{ RawBody []byte }
		}
		require.NoError(t, json.Unmarshal(a.Data, &shown))
		require.Equal(t, first.CorrelationID, shown.Event.CorrelationID)
		require.Equal(t, acmeBody("a"), string(shown.Webhook.RawBody), "byte for byte")
		repeat := g.do(acmeRequest(acmeBody("a"))).receipt(t)
		require.True(t, repeat.Duplicate)
		require.Equal(t, first.EventID, repeat.EventID)

		var details []string
		require.NoError(t, db.Select(t.Context(), &details, `SELECT details FROM audit_entries WHERE action = 'webhook.received' ORDER BY id`))
		require.Len(t, details, 3)
		require.NotContains(t, details[0], `"spooled"`)
		require.Contains(t, details[1], `"spooled":true`)
		require.NoError(t, db.Select(t.Context(), &details, `SELECT details FROM audit_entries WHERE action = 'event.repeated' ORDER BY id`))
		require.Len(t, details, 2)
		require.Contains(t, details[0], first.EventID)
		require.Contains(t, details[1], before.EventID)
	})
}

// TestACommitInDoubtIsNotDoubled: a webhook was committed, but the answer was lost, so it went into
// the spool too.
func TestACommitInDoubtIsNotDoubled(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, _, o := spooling(t, db)
		r := g.do(acmeRequest(acmeBody("a"))).receipt(t)
		var webhookID string
		require.NoError(t, db.Get(t.Context(), &webhookID, `SELECT id FROM webhook_events`))
		w := spool.Webhook{ID: webhookID, Source: "acme", IntegrationID: g.acme, Provider: "acme", ReceivedAt: clock.System(),
			Headers: compact.Alone([]byte("{}")), Body: compact.Alone([]byte("{}")),
			Events: []spool.Event{{ID: r.EventID, Key: "acme:a", Type: "t", Payload: compact.Alone([]byte("{}"))}}}
		require.NoError(t, g.module.d.Spool.Put(t.Context(), w))
		o.stored(t, g, 1)
		require.Equal(t, 1, o.of(spool.Stored))
		require.Equal(t, 1, g.stored(), "nothing was added, also no audit entry")
	})
}

// TestOneWebhookThatCannotBeStoredIsSpooled: the database is there and does not answer one commit.
func TestOneWebhookThatCannotBeStoredIsSpooled(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, s, o := spooling(t, db)
		g.audit.poison, g.audit.failure = "order.created", away()
		r := g.do(acmeRequest(acmeBody("a"))).receipt(t)
		require.Equal(t, statusQueued, r.Status)
		require.False(t, s.Away())
		g.audit.failure = errors.New("a mistake of ours")
		require.Equal(t, http.StatusInternalServerError, g.do(acmeRequest(acmeBody("b"))).Status, "that is no outage")
		g.audit.poison = ""
		require.Equal(t, 1, o.of("spooled"))
		o.stored(t, g, 1)
		require.Equal(t, []string{"event.normalized", "event.queued"}, g.actions(r.EventID))
	})
}

// TestTheSpoolHoldsNoRedactedFields: what is redacted before it is stored is redacted before it is
// spooled, and comes out as such.
func TestTheSpoolHoldsNoRedactedFields(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, s, o := spooling(t, db)
		g.redacting("made", "$.data.email")
		awayNow(s)
		body := `{"eventId":"a","eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":{"id":"d","email":"ann@example.com"}}`
		r := request("made", body)
		r.Header.Set("X-Acme-Signature", sign(body))
		eventID := g.do(r).receipt(t).EventID
		require.Len(t, o.messages, 1)
		var message struct{ Webhook spool.Webhook }
		require.NoError(t, json.Unmarshal(o.messages[0], &message))
		sent := message.Webhook
		for _, stored := range [][]byte{sent.Body, sent.Events[0].Payload} {
			text, err := openPayload(eventID, stored, sent.Body)
			require.NoError(t, err)
			require.NotContains(t, string(text), "ann@example.com")
			require.Contains(t, string(text), "[redacted]")
		}
		s.Beat(true)
		o.stored(t, g, 1)
		var state string
		require.NoError(t, db.Get(t.Context(), &state, `SELECT body_state FROM webhook_events`))
		require.Equal(t, bodyRedacted, state)
	})
}

// TestWhatIsSpooledIsNotStoredAfterItsErasure: the erasure was ordered, and has searched, while the
// webhooks waited, parked ones for instance.
func TestWhatIsSpooledIsNotStoredAfterItsErasure(t *testing.T) {
	for _, by := range []struct {
		name  string
		paths []string
	}{{"by subject", nil}, {"by value", []string{"$.data.who"}}} {
		t.Run(by.name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, db *database.DB) {
				g, s, o := spooling(t, db)
				g.batched(`{"id":"0","who":"somebody"}`)
				awayNow(s)
				item := func(id, who string) string { return `{"id":"` + id + `","who":"` + who + `"}` }
				alone := g.batch(item("1", person))
				both := g.batch(item("2", person), item("3", "somebody"))
				others := g.batch(item("4", "somebody"))
				again := g.batch(item("0", person)) // its event is known
				s.Beat(true)
				g.erase(person, by.paths...)
				o.stored(t, g, 4)
				require.NotContains(t, g.dump(), person)
				require.Equal(t, 3, g.count("normalized_events"))
				for _, kept := range []string{both.EventIDs[1], others.EventID} {
					require.Equal(t, []string{"event.normalized", "event.queued"}, g.actions(kept))
				}
				for _, gone := range []string{alone.EventID, both.EventIDs[0]} {
					require.Equal(t, []string{"event.erased"}, g.actions(gone), "what the sender was told has an end")
					require.Equal(t, http.StatusNotFound, g.get("/events/"+gone).Status)
				}
				require.Equal(t, []string{"event.repeated"}, g.actions(again.EventID))
				later := g.batch(item("1", person))
				require.False(t, later.Duplicate, "what comes after the erasure is another matter")
			})
		})
	}
}

// TestErasuresAreRememberedWhileTheSpoolHoldsWebhooks: a mark outlives its retention.
func TestErasuresAreRememberedWhileTheSpoolHoldsWebhooks(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	g, s, _ := spooling(t, db)
	g.mark(person, nil)
	g.exec(`UPDATE erasure_marks SET ordered_at = $1`, clock.System().Add(-1000*time.Hour))
	purge := func() int {
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error { return g.module.purgeQuarantine(t.Context(), tx, true) }))
		return g.count("erasure_marks")
	}
	require.Equal(t, 1, purge(), "what is in the spool is not known yet")
	require.True(t, s.Settled(t.Context()))
	require.Zero(t, purge())
	g.mark(person, nil)
	g.exec(`UPDATE erasure_marks SET ordered_at = $1`, clock.System().Add(-1000*time.Hour))
	awayNow(s)
	g.do(acmeRequest(acmeBody("a"))).receipt(t)
	require.Equal(t, 1, purge())
}

// TestASpoolThatWasTurnedOffIsStored: no webhook is added, and none that an earlier program accepted
// stays behind.
func TestASpoolThatWasTurnedOffIsStored(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, s, o := spooling(t, db)
		awayNow(s)
		r := g.do(acmeRequest(acmeBody("a"))).receipt(t)
		off := spool.New(spool.Config{Off: true, Pause: time.Millisecond, Look: time.Millisecond},
			spool.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Broker: o, Digester: rot13{}, Metrics: o})
		later := setup(t, db, func(_ *Config, d *Deps) { d.Spool = off })
		awayNow(off)
		require.False(t, off.Away())
		require.Equal(t, http.StatusAccepted, later.do(acmeRequest(acmeBody("b"))).Status, "the database decides")
		later.audit.poison, later.audit.failure = "order.created", away()
		require.Equal(t, http.StatusServiceUnavailable, later.do(acmeRequest(acmeBody("c"))).Status)
		later.audit.poison = ""
		require.Equal(t, 1, o.of("spooled"))
		off.Beat(true)
		o.stored(t, later, 1)
		require.Equal(t, []string{"event.normalized", "event.queued"}, later.actions(r.EventID))
	})
}
