package test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// TestAnOutageOfPostgreSQLLosesNoWebhook cuts PostgreSQL off, and then lets it hang, while a sender
// sends that never repeats. Meanwhile serve is killed and started again: what it accepted is at
// the broker.
func TestAnOutageOfPostgreSQLLosesNoWebhook(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(*testkit.Proxy){"cut": (*testkit.Proxy).Cut, "hung": (*testkit.Proxy).Hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			postgres := testkit.NewProxy(t, testkit.Server(t, testkit.PostgresVariable))
			g := onServers(t)
			g.set("DATABASE_URL", viaProxy(t, postgres, g.database))
			serve := g.serve()
			g.work()
			var ids []string
			send := func(n int) {
				for range n {
					ids = append(ids, g.send(http.StatusAccepted, "acme", order(fmt.Sprintf("evt_%s_%d", name, len(ids)), "spooled"), "").EventID)
				}
			}
			send(5)
			outage(postgres)
			send(40)
			require.Equal(t, http.StatusOK, probe(g.base+"/readyz"), "load balancers must go on sending webhooks")
			code, status, checks := g.health()
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.Equal(t, "degraded", status)
			require.Equal(t, "error", checks["postgres"])
			bad, _, err := g.ask(http.MethodPost, "/api/v1/webhooks/acme", []byte(order("evt_bad", "spooled")),
				map[string]string{"Content-Type": "application/json", "X-Acme-Signature": "00"})
			require.NoError(t, err)
			require.Equal(t, http.StatusUnauthorized, bad.StatusCode)
			again := g.send(http.StatusAccepted, "acme", order(fmt.Sprintf("evt_%s_10", name), "spooled"), "")
			serve.kill()
			postgres.Resume()
			g.serve()
			eventually(t, func() bool { return g.receiver.undelivered(ids) == 0 }, "everything that was accepted is delivered")
			for _, id := range ids {
				g.waitForStatus(id, "processed")
				require.Equal(t, 1, g.receiver.count(id))
			}
			db := g.open()
			require.Equal(t, len(ids), g.total(db, fmt.Sprintf("normalized_events WHERE external_event_id LIKE 'evt_%s_%%'", name)), "each once")
			eventually(t, func() bool {
				return g.total(db, "audit_entries WHERE action = 'event.repeated' AND entity_id = '"+again.EventID+"'") == 1
			}, "the repeat is found")
		})
	}
}
