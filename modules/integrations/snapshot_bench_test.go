package integrations

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// BenchmarkSnapshotOfTenThousandSources is what the sources in memory cost beside 10,000
// integrations with a secret each: the first read, a read of everything while nothing has
// changed, the question what has changed, and the read of one change. bytes/source is what a
// source takes in memory.
func BenchmarkSnapshotOfTenThousandSources(b *testing.B) {
	for _, store := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", testkit.SQLite}, {"postgres", testkit.Postgres}} {
		b.Run(store.name, func(b *testing.B) {
			ring, err := keyring.New(keyring.Config{Current: secret.New("a key of this benchmark, and of no other one")})
			require.NoError(b, err)
			g := setup(b, testkit.Open(b, store.url(b)), func(_ *Config, d *Deps) { d.Sealer = ring })
			g.fill(b, 10_000)
			b.Run("first", func(b *testing.B) {
				before := heap()
				var kept *snapshot
				for b.Loop() {
					kept = g.loaded(nil)
				}
				b.ReportMetric(float64(heap()-before)/float64(len(kept.sources)), "bytes/source")
				runtime.KeepAlive(kept)
			})
			known := g.loaded(nil)
			b.Run("nothing", func(b *testing.B) {
				for b.Loop() {
					known = g.loaded(known)
				}
			})
			b.Run("one", func(b *testing.B) {
				for b.Loop() {
					g.exec(`UPDATE integrations SET rate_limit_per_minute = COALESCE(rate_limit_per_minute, 0) + 1 WHERE id = $1`, g.acme)
					known = g.loaded(known)
				}
			})
		})
	}
}

// fill adds that many integrations of acme.
func (g *gateway) fill(b *testing.B, n int) {
	for done := 0; done < n; done += 1000 {
		integrations := database.NewRows("id uuid", "source text", "provider text", "name text", "is_active boolean", "created_at timestamptz", "updated_at timestamptz")
		secrets := database.NewRows("id uuid", "integration_id uuid", "secret text", "is_active boolean", "created_at timestamptz")
		require.NoError(b, g.db.InTx(b.Context(), func(tx *database.Tx) error {
			for i := range 1000 {
				integrationID, secretID := id.New(), id.New()
				sealed, err := g.module.d.Sealer.Seal(SecretPlace(secretID), secret.New(fmt.Sprint("a-secret-of-source-", done+i)))
				require.NoError(b, err)
				integrations.Add(integrationID, fmt.Sprint("source-", done+i), "acme", "Acme", true, tx.Now, tx.Now)
				secrets.Add(secretID, integrationID, sealed, true, tx.Now)
			}
			if err := tx.Insert(b.Context(), "integrations", integrations); err != nil {
				return err
			}
			return tx.Insert(b.Context(), "integration_secrets", secrets)
		}))
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
