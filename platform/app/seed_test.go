package app

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// eachSystem runs test on a system of each engine, with queue and cache in memory.
func eachSystem(t *testing.T, test func(t *testing.T, g *system, cfg config.Config)) {
	for name, fresh := range map[string]func(testing.TB) string{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			cfg := devConfig(t)
			cfg.Database.URL = secret.New(fresh(t))
			cfg.SecretsKey = secret.New("a key of this test, and of no other one")
			s, err := open(context.Background(), cfg, quiet, true)
			require.NoError(t, err)
			t.Cleanup(func() { s.close(quiet) })
			g, err := wire(cfg, s, quiet)
			require.NoError(t, err)
			test(t, g, cfg)
		})
	}
}

var seededTables = []string{"integrations", "integration_secrets", "destinations", "webhook_events", "normalized_events",
	"event_states", "processing_jobs", "delivery_attempts", "idempotency_keys", "audit_entries", "audit_groups"}

func TestSeedingAgainChangesNothing(t *testing.T) {
	eachSystem(t, func(t *testing.T, g *system, _ config.Config) {
		ctx, to := context.Background(), destinationsFor("", "http", 3000)
		first, err := g.seed(ctx, to)
		require.NoError(t, err)
		require.Equal(t, []seeded{
			{"acme", true, []string{"http://127.0.0.1:3000/api/v1/internal/delivery-sink/acme"}},
			{"globex", true, []string{"http://127.0.0.1:3000/api/v1/internal/delivery-sink/globex"}},
		}, first)
		before := map[string]int{}
		for _, table := range seededTables {
			before[table] = tableCount(t, g.db, table)
			require.Positive(t, before[table], table)
		}
		require.Equal(t, 4, before["normalized_events"])
		require.Equal(t, 5, before["delivery_attempts"])

		// The posted one must not count against a client's rate limit.
		var posted int
		require.NoError(t, g.db.Get(ctx, &posted, `SELECT count(*) FROM webhook_events WHERE source_ip = '192.0.2.1'`))
		require.Equal(t, 1, posted)

		again, err := g.seed(ctx, to)
		require.NoError(t, err)
		require.Equal(t, "acme: already exists, delivers to http://127.0.0.1:3000/api/v1/internal/delivery-sink/acme", again[0].String())
		for _, table := range seededTables {
			require.Equal(t, before[table], tableCount(t, g.db, table), table)
		}
	})
}

func TestURLsOfSeededDestinations(t *testing.T) {
	sink := func(port string) string { return "http://127.0.0.1:" + port + "/api/v1/internal/delivery-sink/acme" }
	for _, c := range []struct {
		sentence, stands string
		to               func(string) string
		want             string
	}{
		{"the local sink follows the port", sink("3000"), destinationsFor("", "http", 4000), sink("4000")},
		{"and a callback base", sink("3000"), destinationsFor("http://127.0.0.1:9/hooks", "http", 4000), "http://127.0.0.1:9/hooks/acme"},
		{"a custom address stays", "https://example.com/acme", destinationsFor("", "http", 4000), "https://example.com/acme"},
		{"also one that looks like the sink", "http://127.0.0.1:3000/api/v1/internal/delivery-sink/acme/v2", destinationsFor("", "http", 4000),
			"http://127.0.0.1:3000/api/v1/internal/delivery-sink/acme/v2"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			eachSystem(t, func(t *testing.T, g *system, _ config.Config) {
				_, err := g.seed(context.Background(), func(string) string { return c.stands })
				require.NoError(t, err)
				all, err := g.seed(context.Background(), c.to)
				require.NoError(t, err)
				require.Equal(t, []string{c.want}, all[0].urls)
				fresh, err := g.seed(context.Background(), c.to)
				require.NoError(t, err)
				require.Equal(t, []string{c.want}, fresh[0].urls, "and it is stored")
			})
		})
	}
}

func TestAnExistingIntegrationIsUnchanged(t *testing.T) {
	eachSystem(t, func(t *testing.T, g *system, _ config.Config) {
		ctx := context.Background()
		require.NoError(t, g.db.InTx(ctx, func(tx *database.Tx) error {
			_, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: "acme", Provider: "acme", Name: "Ours",
				Secrets: []integrations.SecretConfig{{Value: secret.New("a secret of our own")}}})
			return err
		}))
		all, err := g.seed(ctx, destinationsFor("", "http", 3000))
		require.NoError(t, err)
		require.Equal(t, seeded{source: "acme", urls: []string{}}, all[0])
		require.Equal(t, 1, tableCount(t, g.db, "normalized_events"), "globex has its example; acme got none")
	})
}

func TestDemoSecretsInProduction(t *testing.T) {
	eachSystem(t, func(t *testing.T, g *system, cfg config.Config) {
		ctx := context.Background()
		_, err := g.seed(ctx, destinationsFor("", "http", 3000))
		require.NoError(t, err)
		require.NoError(t, g.refuseDemoSecrets(ctx, cfg), "in development they are fine")

		cfg.Env = config.Production
		err = g.refuseDemoSecrets(ctx, cfg)
		require.ErrorContains(t, err, "acme (the demo secret of acme), globex (the demo secret of globex)")
		require.NotContains(t, err.Error(), acme.secret)

		deactivate := func(source string) {
			require.NoError(t, g.db.InTx(ctx, func(tx *database.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE integrations SET is_active = $1 WHERE source = $2", false, source)
				return err
			}))
		}
		deactivate("acme")
		err = g.refuseDemoSecrets(ctx, cfg)
		require.ErrorContains(t, err, "globex (")
		require.NotContains(t, err.Error(), "acme")
		deactivate("globex")
		require.NoError(t, g.refuseDemoSecrets(ctx, cfg))
		require.ErrorIs(t, Seed(ctx, cfg, quiet, "", &bytes.Buffer{}), errSeedProduction)
	})
}

func TestCachePrefix(t *testing.T) {
	eachSystem(t, func(t *testing.T, g *system, _ config.Config) {
		one, err := installation(context.Background(), g.db)
		require.NoError(t, err)
		again, err := installation(context.Background(), g.db)
		require.NoError(t, err)
		require.Equal(t, one, again)
		if g.db.Dialect.Name != "postgres" {
			return
		}
		other, err := database.Open(database.Config{URL: testkit.Postgres(t)}, clock.System)
		require.NoError(t, err)
		defer func() { _ = other.Close() }()
		copied, err := installation(context.Background(), other) // from the same template: the same id
		require.NoError(t, err)
		require.NotEqual(t, one, copied, "a copy of the database does not use the original's cache entries")
	})
}

func TestCallbackBase(t *testing.T) {
	for _, c := range []struct{ text, want, problem string }{
		{"", "", ""},
		{"http://127.0.0.1:9000/", "http://127.0.0.1:9000", ""},
		{"https://example.com/hooks", "https://example.com/hooks", ""},
		{"example.com", "", "must start with https://"},
		{"https://example.com/?a=b", "", "must not have a query"},
	} {
		got, err := CallbackBase(c.text)
		require.Equal(t, c.want, got)
		if c.problem != "" {
			require.ErrorContains(t, err, c.problem)
		} else {
			require.NoError(t, err)
		}
	}
}

// Credentials that an operator added to a seeded destination are not sent to another port.
func TestASeededDestinationWithCredentialsStays(t *testing.T) {
	eachSystem(t, func(t *testing.T, g *system, _ config.Config) {
		ctx := context.Background()
		_, err := g.seed(ctx, destinationsFor("", "http", 3000))
		require.NoError(t, err)
		f := &fixture{system: g, t: t}
		integration := f.text(`SELECT id FROM integrations WHERE source = 'acme'`)
		destination := f.text(`SELECT id FROM destinations WHERE integration_id = $1`, integration)
		require.NoError(t, g.db.InTx(ctx, func(tx *database.Tx) error {
			return g.delivery.ChangeDestination(ctx, tx, integration, destination, contract.DestinationConfig{Headers: map[string]string{"X-Key": "of-the-operator"}})
		}))
		all, err := g.seed(ctx, destinationsFor("", "http", 4000))
		require.NoError(t, err)
		require.Equal(t, []string{"http://127.0.0.1:3000/api/v1/internal/delivery-sink/acme"}, all[0].urls)
		require.Equal(t, []string{"http://127.0.0.1:4000/api/v1/internal/delivery-sink/globex"}, all[1].urls)
	})
}
