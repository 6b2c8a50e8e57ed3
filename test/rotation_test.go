package test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

const nextSecretsKey = "n-6b0d4f8e21c97a53e4b8d0f15c2a7936"

// TestTheKeyIsRotatedUnderTraffic follows docs/operations.md: every process can decrypt
// with the next key, then all encrypt with it, then stored secrets are re-encrypted by a
// command that is killed halfway, and the old key is removed.
func TestTheKeyIsRotatedUnderTraffic(t *testing.T) {
	t.Parallel()
	g := onServers(t, "RETRY_BASE_DELAY_MS", "200", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	serve, worker := g.serve(), g.work()
	l := startLoad(g, "rotation", 4)
	l.waitForAnswers(20)
	step := func(key, others string) {
		g.set("SECRETS_KEY", key, "SECRETS_READ_KEYS", others)
		for _, p := range []*process{serve, worker} {
			p.terminate()
			require.Zero(t, p.exitCode(waitTimeout))
		}
		serve, worker = g.serve(), g.work()
		l.waitForAnswers(20)
	}
	step(secretsKey, nextSecretsKey)
	step(nextSecretsKey, secretsKey)

	db := g.open()
	const many = 20_000
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		var integrationID string
		if err := tx.Get(t.Context(), &integrationID, `SELECT id FROM integrations WHERE source = 'acme'`); err != nil {
			return err
		}
		ring, err := keyring.New(keyring.Config{Current: secret.New(secretsKey)})
		require.NoError(t, err)
		rows := database.NewRows("id uuid", "integration_id uuid", "secret text", "is_active boolean", "created_at timestamptz")
		for range many {
			secretID := id.New()
			sealed, err := ring.Seal(secret.Place{Table: "integration_secrets", Column: "secret", Row: secretID}, secret.New("an-inactive-secret"))
			require.NoError(t, err)
			rows.Add(secretID, integrationID, sealed, false, tx.Now)
		}
		return tx.Insert(t.Context(), "integration_secrets", rows)
	}))
	old := regexp.MustCompile(`(?m)^([0-9a-f]{8}) +opens `).FindStringSubmatch(g.run("secrets", "status"))
	require.Len(t, old, 2)
	left := func() int { return g.total(db, "integration_secrets WHERE secret LIKE 'sealed:v1:"+old[1]+":%'") }
	before := left()
	require.Greater(t, before, many)
	rotation := startProcess(t, g.env, "secrets", "rotate-key")
	eventually(t, func() bool { return strings.Contains(rotation.output.String(), "re-encrypted") }, "it has begun")
	rotation.kill()
	require.Positive(t, left(), "it was killed halfway")
	require.Less(t, left(), before)
	l.waitForAnswers(20)
	require.Contains(t, g.run("secrets", "rotate-key"), ", 0 remain")
	require.Zero(t, left())
	require.Regexp(t, `(?m)^`+old[1]+` +opens .* yes$`, g.run("secrets", "status"))

	step(nextSecretsKey, "")
	l.checkDeliveries()
	g.requireSettled("rotation", l)

	g.set("SECRETS_KEY", secretsKey)
	refused := startProcess(t, g.env, "work")
	require.Equal(t, 4, refused.exitCode(waitTimeout), "refused, as docs/cli.md says")
	require.Contains(t, refused.output.String(), "is needed for destination ")
	require.NotContains(t, refused.output.String(), secretsKey)
}
