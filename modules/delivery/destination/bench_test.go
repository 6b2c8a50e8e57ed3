package destination

import (
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const manyDestinations = 20_000

// BenchmarkLook is what a process does to know 20,000 destinations of 10,000 integrations,
// each with a filter, a header and a token: reading all of them at its start, looking for
// changes where there are none, and reading one that changed. MB is the memory that they take
// once they are known.
func BenchmarkLook(b *testing.B) {
	for _, store := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", testkit.SQLite}, {"postgres", testkit.Postgres}} {
		b.Run(store.name, func(b *testing.B) {
			h := newHarness(b, testkit.Open(b, store.url(b)))
			ring, err := keyring.New(keyring.Config{Current: secret.New(keyring.NewKey())})
			require.NoError(b, err)
			h.sealer = ring
			h.Store, h.cache = New(h.deps())
			one := h.many(manyDestinations)
			b.Run("all", func(b *testing.B) {
				var c *Cache
				before := memory()
				for b.Loop() {
					_, c = New(h.deps())
					h.look(c)
				}
				b.ReportMetric(float64(memory()-before)/1e6, "MB")
				require.Len(b, c.byID, manyDestinations)
			})
			_, c := New(h.deps())
			h.look(c)
			b.Run("unchanged", func(b *testing.B) {
				for b.Loop() {
					h.look(c)
				}
			})
			b.Run("one", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					h.exec(`UPDATE destinations SET url = $2 WHERE id = $1`, one, "https://example.com/"+strconv.Itoa(i))
					h.look(c)
				}
			})
			b.Run("miss", func(b *testing.B) {
				for b.Loop() {
					_, c := New(h.deps())
					_, err := c.Get(context.Background(), []string{one})
					require.NoError(b, err)
				}
			})
		})
	}
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far smaller
}

// many makes n destinations, two of each integration, and gives the id of one.
func (h *harness) many(n int) (one string) {
	h.t.Helper()
	c := contract.DestinationConfig{URL: to("https://example.com/hooks"), Filter: to(`eventType == "order.paid" && data.amount > 100`),
		Headers: map[string]string{"X-Team": "billing"}, Auth: &contract.DestinationAuth{Type: "bearer", Token: secret.New("a-token-of-forty-characters-or-something")}}
	for made := 0; made < n; {
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			for range 500 {
				integration := id.New()
				rows := database.NewRows("id uuid", "source text", "provider text", "name text", "is_active boolean", "created_at timestamptz", "updated_at timestamptz")
				rows.Add(integration, integration, "acme", "Acme", true, tx.Now, tx.Now)
				if err := tx.Insert(ctx, "integrations", rows); err != nil {
					return err
				}
				for range 2 {
					added, err := h.AddDestination(ctx, tx, integration, c)
					if err != nil {
						return err
					}
					one = added.ID
					made++
				}
			}
			return nil
		})
	}
	h.exec("ANALYZE")
	return one
}
