package test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
)

const nextSecretsKey = "n-6b0d4f8e21c97a53e4b8d0f15c2a7936"

// TestTheKeyIsChangedUnderTraffic follows docs/operations.md: every process opens secrets
// under the next key, then all seal under it, then what is stored is encrypted anew by a
// command that is killed on its way, and the old key goes.
func TestTheKeyIsChangedUnderTraffic(t *testing.T) {
	t.Parallel()
	g := onServers(t, "RETRY_BASE_DELAY_MS", "200", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	serve, worker := g.serve(), g.work()
	l := startLoad(g, "rotation", 4)
	l.reaches(20)
	step := func(key, others string) {
		g.set("SECRETS_KEY", key, "SECRETS_READ_KEYS", others)
		for _, p := range []*process{serve, worker} {
			p.terminate()
			require.Zero(t, p.exitCode(patience))
		}
		serve, worker = g.serve(), g.work()
		l.reaches(20)
	}
	step(secretsKey, nextSecretsKey)
	step(nextSecretsKey, secretsKey)

	db := g.open()
	const many = 20_000
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO integration_secrets (id, integration_id, secret, is_active, created_at)
			SELECT gen_random_uuid(), s.integration_id, s.secret, false, s.created_at
			FROM   (SELECT integration_id, secret, created_at FROM integration_secrets ORDER BY id LIMIT 1) s, generate_series(1, $1)`, many)
		return err
	}))
	old := regexp.MustCompile(`(?m)^([0-9a-f]{8}) +opens `).FindStringSubmatch(g.run("secrets", "status"))
	require.Len(t, old, 2)
	left := func() int { return g.total(db, "integration_secrets WHERE secret LIKE 'sealed:v1:"+old[1]+":%'") }
	before := left()
	require.Greater(t, before, many)
	rotation := startProcess(t, g.env, "secrets", "rotate-key")
	eventually(t, func() bool { return strings.Contains(rotation.said.String(), "encrypted anew") }, "it has begun")
	rotation.kill()
	require.Positive(t, left(), "it was killed on its way")
	require.Less(t, left(), before)
	l.reaches(20)
	require.Contains(t, g.run("secrets", "rotate-key"), ", 0 remain")
	require.Zero(t, left())
	require.Regexp(t, `(?m)^`+old[1]+` +opens .* yes$`, g.run("secrets", "status"))

	step(nextSecretsKey, "")
	l.arrives()
	g.settles("rotation", l)

	g.set("SECRETS_KEY", secretsKey)
	refused := startProcess(t, g.env, "work")
	require.Equal(t, 1, refused.exitCode(patience))
	require.Contains(t, refused.said.String(), "is needed for destination ")
	require.NotContains(t, refused.said.String(), secretsKey)
}
