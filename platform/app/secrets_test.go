package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/audit"
	"integration-gateway/modules/integrations"
	"integration-gateway/modules/secrets"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const (
	oldKey = "the key of these tests before the rotation"
	newKey = "the key of these tests after the rotation"
)

// recordsOf opens systems on the records of one installation, with any keys.
type recordsOf struct {
	t     *testing.T
	url   string
	plain bool // plain texts can be read despite a key
}

func eachInstallation(t *testing.T, test func(i recordsOf)) {
	for name, fresh := range map[string]func(testing.TB) string{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) { test(recordsOf{t: t, url: fresh(t)}) })
	}
}

func (i recordsOf) under(current string, others ...string) *system {
	i.t.Helper()
	cfg := devConfig(i.t)
	cfg.Database.URL, cfg.SecretsKey, cfg.SecretsReadPlain = secret.New(i.url), secret.New(current), i.plain
	for _, other := range others {
		cfg.SecretsReadKeys = append(cfg.SecretsReadKeys, secret.New(other))
	}
	s, err := open(i.t.Context(), cfg, quiet, true)
	require.NoError(i.t, err)
	i.t.Cleanup(func() { s.close(quiet) })
	g, err := wire(cfg, s, quiet)
	require.NoError(i.t, err)
	return g
}

func (g *system) tx(t *testing.T, do func(ctx context.Context, tx *database.Tx) error) {
	t.Helper()
	require.NoError(t, g.db.InTx(t.Context(), func(tx *database.Tx) error { return do(t.Context(), tx) }))
}

// fill adds sources, each with two secrets and a destination with everything that is
// sealed.
func (g *system) fill(t *testing.T, sources int) (destinations []contract.Destination) {
	t.Helper()
	for n := range sources {
		source := fmt.Sprintf("source-%02d", n)
		var integrationID string
		g.tx(t, func(ctx context.Context, tx *database.Tx) (err error) {
			made, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: source, Provider: "acme",
				Secrets: []integrations.SecretConfig{{Value: secret.New("first-secret-of-" + source)}, {Value: secret.New("second-secret-of-" + source)}}})
			integrationID = made.ID
			if err != nil {
				return err
			}
			to, err := g.delivery.AddDestination(ctx, tx, integrationID, contract.DestinationConfig{URL: new("https://" + source + ".example.com"),
				Headers: map[string]string{"X-Own": "header-of-" + source}, Auth: &contract.DestinationAuth{Type: "bearer", Token: secret.New("token-of-" + source)}})
			if err != nil {
				return err
			}
			_, err = g.delivery.RotateSigningSecret(ctx, tx, integrationID, to.ID)
			return err
		})
		list, err := g.delivery.Destinations(t.Context(), []string{integrationID})
		require.NoError(t, err)
		destinations = append(destinations, list...)
	}
	return destinations
}

// keyOf returns the use of a key, identified by a system that has it as its current one.
func (g *system) keyOf(t *testing.T, owner *system) secrets.KeyUse {
	t.Helper()
	s, err := g.secrets.Status(t.Context())
	require.NoError(t, err)
	for _, use := range s.Keys {
		if use.KeyID == owner.ring.Current() {
			return use
		}
	}
	return secrets.KeyUse{}
}

func ignored(secrets.Progress) error { return nil }

// quarantined stores a refused webhook of globex, with its token's digest.
func (g *system) quarantined(t *testing.T, token string) string {
	t.Helper()
	var integrationID string
	g.tx(t, func(ctx context.Context, tx *database.Tx) (err error) {
		made, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: "globex", Provider: "globex",
			Secrets: []integrations.SecretConfig{{Value: secret.New(token)}}})
		integrationID = made.ID
		return err
	})
	rows := database.NewRows("id uuid", "source text", "integration_id uuid", "provider text", "reason text", "detail text", "method text",
		"url text", "request_headers text", "header_digests text", "raw_body bytea", "size bigint", "source_ip text", "correlation_id text",
		"received_at timestamptz")
	body, quarantineID := []byte(`{"id":"q1","type":"a.b","timestamp":"2026-01-05T09:00:00Z","resource":{"id":"r"}}`), id.New()
	rows.Add(quarantineID, "globex", integrationID, "globex", "no_match", "", "POST", "/api/v1/webhooks/globex",
		`{"content-type":["application/json"],"x-globex-token":["[redacted]"]}`, `{"x-globex-token":["`+g.ring.Digest(token)+`"]}`,
		body, len(body), "192.0.2.1", "corr", clock.System())
	g.tx(t, func(ctx context.Context, tx *database.Tx) error { return tx.Insert(ctx, "quarantine", rows) })
	return quarantineID
}

// sealTrail seals the audit trail immediately.
func (g *system) sealTrail(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	trail := audit.New(audit.Config{SealKeys: sealKeys(g.ring), SealEvery: time.Millisecond, SealAfter: time.Nanosecond},
		audit.Deps{DB: g.db, Log: quiet, Now: clock.System})
	before, err := trail.KeysInUse(t.Context())
	require.NoError(t, err)
	go func() { done <- trail.Seal(ctx) }()
	require.Eventually(t, func() bool {
		now, err := trail.KeysInUse(t.Context())
		return err == nil && now[g.ring.Current()] > before[g.ring.Current()]
	}, time.Minute, time.Millisecond)
	stop()
	require.NoError(t, <-done)
}

func TestTheKeyIsRotatedAndTheOldOneDropped(t *testing.T) {
	eachInstallation(t, func(i recordsOf) {
		t, ctx := i.t, i.t.Context()
		before := i.under(oldKey)
		before.fill(t, 5)
		quarantineID := before.quarantined(t, "globex-token-of-ours")
		before.sealTrail(t)
		use := before.keyOf(t, before)
		require.Equal(t, map[string]int64{"sources": 11, "destinations": 5, "quarantine": 1, "audit seals": 1}, use.Rows)
		require.False(t, use.CanGo)

		both := i.under(newKey, oldKey)
		require.NoError(t, both.secrets.CheckKeys(ctx))
		require.Equal(t, "opens", both.keyOf(t, before).Role)
		var seen []secrets.Progress
		r, err := both.secrets.Rotate(ctx, func(p secrets.Progress) error { seen = append(seen, p); return nil })
		require.NoError(t, err)
		require.Equal(t, secrets.Rotation{KeyID: both.ring.Current(), Resealed: 16, Remaining: []secrets.Failure{}}, r)
		require.Equal(t, secrets.Progress{Kind: "sources", Seen: 11, Resealed: 11}, seen[0])
		require.Equal(t, map[string]int64{"quarantine": 1, "audit seals": 1}, both.keyOf(t, before).Rows, "rows that cannot be remade")
		require.True(t, both.keyOf(t, before).CanGo)
		again, err := both.secrets.Rotate(ctx, ignored)
		require.NoError(t, err)
		require.Zero(t, again.Resealed, "there is nothing left to do")

		after := i.under(newKey)
		require.NoError(t, after.secrets.CheckKeys(ctx))
		after.sealTrail(t)
		proof, err := after.audit.Prove(ctx, audit.ProofConfig{})
		require.NoError(t, err)
		require.True(t, proof.Holds, "seals under both keys: %+v", proof.Broken)
		require.EqualValues(t, 2, proof.Seals)
		released, err := after.ingestion.Release(ctx, quarantineID)
		require.NoError(t, err, "the token is recognised with the retired key")
		require.NotEmpty(t, released.EventID)
		require.Equal(t, "retired", after.keyOf(t, before).Role)
		var entries int
		require.NoError(t, after.db.Get(ctx, &entries, `SELECT count(*) FROM audit_entries WHERE action = 'secrets.rotated'`))
		require.Equal(t, 1, entries)

		third := i.under("a third key, that of the year after next", newKey)
		_, err = third.secrets.Rotate(ctx, ignored)
		require.NoError(t, err)
		proof, err = i.under("a third key, that of the year after next").audit.Prove(ctx, audit.ProofConfig{})
		require.NoError(t, err)
		require.True(t, proof.Holds, "further rotations work too")
	})
}

func TestAnInterruptedRotationContinues(t *testing.T) {
	eachInstallation(t, func(i recordsOf) {
		t := i.t
		before := i.under(oldKey)
		before.fill(t, 10)
		both := i.under(newKey, oldKey)
		change := func(ctx context.Context, store secrets.Store, told func(secrets.Progress) error) (secrets.Rotation, error) {
			return secrets.New(secrets.Config{Batch: 4}, secrets.Deps{DB: both.db, Ring: both.ring, Audit: both.audit, Kinds: []secrets.Kind{
				{Name: "sources", Store: store}, {Name: "destinations", Store: both.delivery}}}).Rotate(ctx, told)
		}
		ctx, end := context.WithCancel(t.Context())
		_, err := change(ctx, both.integrations, func(p secrets.Progress) error {
			if p.Seen == 8 {
				end()
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		require.EqualValues(t, 12, both.keyOf(t, before).Rows["sources"], "two batches of four are done")
		require.EqualValues(t, 8, both.keyOf(t, both).Rows["sources"])

		require.Equal(t, "not given", i.under(newKey).keyOf(t, before).Role, "its retired form is not enough yet")

		ctx, end = context.WithCancel(t.Context())
		_, err = change(ctx, crashingStore{both.integrations, end}, ignored)
		require.Error(t, err)
		require.EqualValues(t, 8, both.keyOf(t, both).Rows["sources"], "an uncommitted batch does not count")

		for name, g := range map[string]*system{"with both keys": both, "again": i.under(newKey, oldKey)} {
			require.NoError(t, g.secrets.CheckKeys(t.Context()), name)
		}
		r, err := change(t.Context(), both.integrations, ignored)
		require.NoError(t, err)
		require.Equal(t, secrets.Rotation{KeyID: both.ring.Current(), Resealed: 22, Remaining: []secrets.Failure{}}, r)
		require.NoError(t, i.under(newKey).secrets.CheckKeys(t.Context()))
	})
}

// crashingStore is a store whose process ends after the write and before the commit.
type crashingStore struct {
	secrets.Store
	end func()
}

func (d crashingStore) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	n, err := d.Store.ReplaceSealed(ctx, tx, rows)
	d.end()
	return n, err
}

// editedStore is a store of which some rows are changed between the read and the write.
type editedStore struct {
	secrets.Store
	edit func()
}

func (e editedStore) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	rows, err := e.Store.SealedRows(ctx, after, limit)
	e.edit()
	return rows, err
}

func TestAnEditDuringARotationIsNotLost(t *testing.T) {
	eachInstallation(t, func(i recordsOf) {
		t, ctx := i.t, i.t.Context()
		before := i.under(oldKey)
		all := before.fill(t, 3)
		both := i.under(newKey, oldKey)
		edits := 0
		edit := func() {
			if edits++; edits > 1 {
				return
			}
			editor := before // a process that was not restarted yet
			editor.tx(t, func(ctx context.Context, tx *database.Tx) error {
				return editor.delivery.ChangeDestination(ctx, tx, all[0].IntegrationID, all[0].ID, contract.DestinationConfig{Headers: map[string]string{"X-Edited": "of-the-operator"}})
			})
			editor.tx(t, func(ctx context.Context, tx *database.Tx) error {
				return editor.delivery.ChangeDestination(ctx, tx, all[1].IntegrationID, all[1].ID, contract.DestinationConfig{Auth: &contract.DestinationAuth{Type: "none"}})
			})
		}
		m := secrets.New(secrets.Config{}, secrets.Deps{DB: both.db, Ring: both.ring, Audit: both.audit, Kinds: []secrets.Kind{
			{Name: "sources", Store: both.integrations}, {Name: "destinations", Store: editedStore{both.delivery, edit}}}})
		r, err := m.Rotate(ctx, ignored)
		require.NoError(t, err)
		require.Empty(t, r.Remaining)
		require.EqualValues(t, 6+3, r.Resealed, "all of them; the edited ones in the next pass")

		after := i.under(newKey)
		require.NoError(t, after.secrets.CheckKeys(ctx))
		for n, want := range []struct {
			headers []string
			auth    string
		}{{[]string{"X-Edited"}, "bearer"}, {[]string{"X-Own"}, "none"}, {[]string{"X-Own"}, "bearer"}} {
			list, err := after.delivery.Destinations(ctx, []string{all[n].IntegrationID})
			require.NoError(t, err)
			require.Equal(t, want.headers, list[0].Headers)
			require.Equal(t, want.auth, list[0].Auth)
		}
	})
}

func TestStartFailsWithoutARequiredKey(t *testing.T) {
	eachInstallation(t, func(i recordsOf) {
		t, ctx := i.t, i.t.Context()
		before := i.under(oldKey)
		all := before.fill(t, 7)
		for name, g := range map[string]*system{"with another key": i.under(newKey), "without any": i.under("")} {
			err := g.secrets.CheckKeys(ctx)
			require.ErrorContains(t, err, "the key "+before.ring.Current()+" is needed for destination ", name)
			require.ErrorContains(t, err, "and 9 more", name)
			require.NotContains(t, err.Error(), "-secret-of-")
		}
		cfg := devConfig(t)
		cfg.Database.URL, cfg.SecretsKey, cfg.WorkAddr = secret.New(i.url), secret.New(newKey), ""
		bounded, cancel := context.WithTimeout(ctx, 20*time.Second) // without the check they would keep running
		require.ErrorContains(t, Serve(bounded, cfg, quiet, true), "is needed for")
		require.ErrorContains(t, Work(bounded, cfg, quiet, allQueues), "is needed for")
		cancel()
		require.ErrorContains(t, i.under(newKey).secrets.CheckKeys(ctx), "the given keys are "+i.under(newKey).ring.Current())
		require.NoError(t, i.under(newKey, oldKey).secrets.CheckKeys(ctx))

		after := i.under(newKey)
		r, err := after.secrets.Rotate(ctx, ignored)
		require.NoError(t, err)
		require.Zero(t, r.Resealed)
		require.Len(t, r.Remaining, 21)
		require.Contains(t, r.Remaining[0].Problem, before.ring.Current())
		require.Contains(t, r.Remaining[0].Of, "source source-")

		at := time.Duration(0)
		after.tx(t, func(ctx context.Context, tx *database.Tx) error {
			_, _, err := after.integrations.RotateSecret(ctx, tx, all[0].IntegrationID, integrations.SecretConfig{Value: secret.New("a secret of another day")}, &at)
			return errors.Join(err, after.delivery.RemoveDestination(ctx, tx, all[0].IntegrationID, all[0].ID, contract.FinishJobs))
		})
		require.ErrorContains(t, after.secrets.CheckKeys(ctx), "and 7 more", "lost secrets can be replaced one by one")
		exec := func(query string, args ...any) {
			after.tx(t, func(ctx context.Context, tx *database.Tx) error { _, err := tx.Exec(ctx, query, args...); return err })
		}
		exec(`UPDATE integrations SET is_active = $1`, false)
		for _, d := range all {
			exec(`UPDATE destinations SET is_active = $1 WHERE id = $2`, false, d.ID)
		}
		require.NoError(t, after.secrets.CheckKeys(ctx), "unused secrets do not prevent a start")
		exec(`UPDATE destinations SET is_active = $1, signing_secret = 'sealed:v1:what is this', old_secret = NULL, headers = NULL, auth = NULL WHERE id = $2`, true, all[1].ID)
		require.NoError(t, after.secrets.CheckKeys(ctx), "nor do damaged ones: only one destination waits")
		s, err := after.secrets.Status(ctx)
		require.NoError(t, err)
		var roles []string
		for _, k := range s.Keys {
			roles = append(roles, k.Role)
		}
		require.Equal(t, []string{"current", "not given", "damaged"}, roles)
	})
}

func TestARotationEncryptsPlainSecrets(t *testing.T) {
	eachInstallation(t, func(i recordsOf) {
		t, ctx := i.t, i.t.Context()
		none := i.under("")
		none.fill(t, 2)
		_, err := none.secrets.Rotate(ctx, ignored)
		require.ErrorContains(t, err, "set SECRETS_KEY")
		refusing := i.under(newKey)
		err = refusing.secrets.CheckKeys(ctx)
		require.ErrorContains(t, err, "stored without encryption")
		require.ErrorContains(t, err, "source source-00")
		stuck, err := refusing.secrets.Rotate(ctx, ignored)
		require.NoError(t, err)
		require.Zero(t, stuck.Resealed, "a rotation does not adopt unexpected plain texts")
		require.Len(t, stuck.Remaining, 6)
		i.plain = true
		mine := i.under(newKey)
		i.plain = false
		require.NoError(t, mine.secrets.CheckKeys(ctx))
		r, err := mine.secrets.Rotate(ctx, ignored)
		require.NoError(t, err)
		require.EqualValues(t, 6, r.Resealed)
		var texts []string
		require.NoError(t, mine.db.Select(ctx, &texts, `SELECT secret FROM integration_secrets UNION ALL SELECT headers FROM destinations
			UNION ALL SELECT auth FROM destinations UNION ALL SELECT signing_secret FROM destinations UNION ALL SELECT old_secret FROM destinations`))
		require.Len(t, texts, 12)
		for _, text := range texts {
			require.True(t, strings.HasPrefix(text, "sealed:v1:"+mine.ring.Current()+":"), text)
		}
	})
}

// An attacker with write access to the database moves a sealed text to another row, or
// stores their own secret: neither is used, and a start is refused.
func TestMovedOrPlantedSecretsAreRefused(t *testing.T) {
	eachInstallation(t, func(i recordsOf) {
		t, ctx := i.t, i.t.Context()
		g := i.under(oldKey)
		all := g.fill(t, 3)
		exec := func(query string, args ...any) {
			g.tx(t, func(ctx context.Context, tx *database.Tx) error { _, err := tx.Exec(ctx, query, args...); return err })
		}
		usable := func() (sources, destinations int) {
			for n := range all {
				list, err := i.under(oldKey).delivery.Destinations(ctx, []string{all[n].IntegrationID})
				require.NoError(t, err)
				if len(list[0].Headers) > 0 {
					destinations++
				}
			}
			r, err := i.under(newKey, oldKey).secrets.Rotate(ctx, ignored)
			require.NoError(t, err)
			return int(r.Resealed), destinations
		}
		exec(`UPDATE destinations SET signing_secret = (SELECT signing_secret FROM destinations WHERE id = $1) WHERE id = $2`, all[0].ID, all[1].ID)
		exec(`UPDATE destinations SET old_secret = signing_secret WHERE id = $1`, all[2].ID)
		exec(`UPDATE integration_secrets SET secret = (SELECT secret FROM integration_secrets ORDER BY id LIMIT 1)`)
		resealed, destinations := usable()
		require.Equal(t, 1+1, resealed, "the first source's secret, and the first destination")
		require.Equal(t, 1, destinations)

		exec(`UPDATE integration_secrets SET secret = 'a-secret-of-somebody-else'`)
		require.ErrorContains(t, i.under(newKey, oldKey).secrets.CheckKeys(ctx), "stored without encryption")
	})
}
