package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/id"
)

func TestKeysFromTheCommandLine(t *testing.T) {
	db, _ := records(t)
	said := runOK(t, "keys create shop-support --role operator --source acme --source globex --expires-in 2160h")
	require.Regexp(t, `^igk_[\w-]{43}\nThis is the key shop-support \(operator\); it is not shown again.\n$`, said)
	text, _, _ := strings.Cut(said, "\n")

	var made struct{ ID, Name, Role, Key, CreatedBy string }
	require.NoError(t, json.Unmarshal([]byte(runOK(t, "keys create reader --json")), &made))
	require.Equal(t, []string{"reader", "viewer", "gateway-cli"}, []string{made.Name, made.Role, made.CreatedBy}, "viewer is the default")
	require.Regexp(t, `^igk_[\w-]{43}$`, made.Key)

	listed := runOK(t, "keys list")
	require.Regexp(t, `(?m)^shop-support  `+text[:10]+`…  operator  acme, globex +active  - +in 89d$`, listed)
	require.Regexp(t, `(?m)^reader +`+made.Key[:10]+`…  viewer +all +active +- +-$`, listed)
	listed += runOK(t, "keys list --json")
	for _, secret := range []string{text, made.Key} {
		require.NotContains(t, listed, secret, "a key is shown once")
	}

	require.Equal(t, "revoked shop-support\n", runOK(t, "keys revoke shop-support --yes"))
	require.Contains(t, runOK(t, "keys revoke --yes --json "+strings.ToUpper(made.ID)), `"name": "reader"`)
	require.Equal(t, "revoked reader\n", runOK(t, "keys revoke --yes "+made.ID), "a second time changes nothing")
	require.Regexp(t, `(?m)^shop-support .* revoked `, runOK(t, "keys list"))

	var actions, holding int
	require.NoError(t, db.Get(context.Background(), &actions,
		`SELECT count(*) FROM audit_entries WHERE entity_type = 'api_key' AND actor = 'gateway-cli' AND action IN ('api_key.created', 'api_key.revoked')`))
	require.Equal(t, 4, actions)
	require.NoError(t, db.Get(context.Background(), &holding, `SELECT count(*) FROM api_keys WHERE hash = $1 OR prefix = $1`, text))
	require.Zero(t, holding, "it is stored as a hash")
}

func TestInvalidKeyCommands(t *testing.T) {
	records(t)
	require.NotEmpty(t, runOK(t, "keys create taken"))
	for _, c := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"alone", "keys", exitUsage, "keys: name a subcommand: create, list or revoke"},
		{"without a name", "keys create", exitUsage, "accepts 1 arg(s), received 0"},
		{"an invalid name", "keys create Shop!", exitUsage, "name must be 1 to 64 lower-case letters"},
		{"a duplicate name", "keys create taken", exitRefused, "taken"},
		{"an unknown role", "keys create a --role root", exitUsage, "role must be one of viewer, operator, admin"},
		{"an invalid source", "keys create a --source A/B", exitUsage, "sources"},
		{"a negative lifetime", "keys create a --expires-in -1h", exitUsage, "such as 90d, 36h or 1d12h"},
		{"an invalid lifetime", "keys create a --expires-in soon", exitUsage, `invalid argument "soon"`},
		{"an unknown name", "keys revoke nobody", exitNotFound, "There is no key nobody."},
		{"an unknown id", "keys revoke " + id.New(), exitNotFound, "There is no"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.sentence, stdout, stderr)
		require.Contains(t, stderr, c.says, c.sentence)
		require.Empty(t, stdout, c.sentence)
	}
}
