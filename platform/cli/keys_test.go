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
	said := ok(t, "keys create shop-support --role operator --source acme --source globex --expires-in 2160h")
	require.Regexp(t, `^igk_[\w-]{43}\nThis is the key shop-support \(operator\); it is not shown again.\n$`, said)
	text, _, _ := strings.Cut(said, "\n")

	var made struct{ ID, Name, Role, Key, CreatedBy string }
	require.NoError(t, json.Unmarshal([]byte(ok(t, "keys create reader --json")), &made))
	require.Equal(t, []string{"reader", "viewer", "gateway-cli"}, []string{made.Name, made.Role, made.CreatedBy}, "viewer is the default")
	require.Regexp(t, `^igk_[\w-]{43}$`, made.Key)

	listed := ok(t, "keys list")
	require.Regexp(t, `(?m)^[0-9a-f-]{36}  shop-support  `+text[:10]+`…  operator  acme,globex  -  +20\S+  +-$`, listed)
	require.Regexp(t, `(?m)^`+made.ID+`  reader +`+made.Key[:10]+`…  viewer +all +-  +-  +-$`, listed)
	listed += ok(t, "keys list --json")
	for _, secret := range []string{text, made.Key} {
		require.NotContains(t, listed, secret, "a key is shown once")
	}

	require.Equal(t, "revoked shop-support\n", ok(t, "keys revoke shop-support"))
	require.Contains(t, ok(t, "keys revoke --json "+strings.ToUpper(made.ID)), `"name": "reader"`)
	require.Equal(t, "revoked reader\n", ok(t, "keys revoke "+made.ID), "a second time changes nothing")
	require.Regexp(t, `(?m)  shop-support .*  20\S+$`, ok(t, "keys list"))

	var actions, holding int
	require.NoError(t, db.Get(context.Background(), &actions,
		`SELECT count(*) FROM audit_entries WHERE entity_type = 'api_key' AND actor = 'gateway-cli' AND action IN ('api_key.created', 'api_key.revoked')`))
	require.Equal(t, 4, actions)
	require.NoError(t, db.Get(context.Background(), &holding, `SELECT count(*) FROM api_keys WHERE hash = $1 OR prefix = $1`, text))
	require.Zero(t, holding, "it is kept as a hash")
}

func TestKeysCommandsThatAreWrong(t *testing.T) {
	records(t)
	require.NotEmpty(t, ok(t, "keys create taken"))
	for _, c := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"alone", "keys", exitUsage, "keys: name what to do: create, list or revoke"},
		{"without a name", "keys create", exitUsage, "accepts 1 arg(s), received 0"},
		{"a name that is none", "keys create Shop!", exitFailed, "name must be 1 to 64 lower-case letters"},
		{"a name that is taken", "keys create taken", exitFailed, "taken"},
		{"a role that is none", "keys create a --role root", exitFailed, "role must be one of viewer, operator, admin"},
		{"a source that can be none", "keys create a --source A/B", exitFailed, "sources"},
		{"a life that is over", "keys create a --expires-in -1h", exitUsage, "--expires-in must be from 0"},
		{"a life that is none", "keys create a --expires-in soon", exitUsage, `invalid argument "soon"`},
		{"nobody's", "keys revoke nobody", exitFailed, "There is no key nobody."},
		{"no id's", "keys revoke " + id.New(), exitFailed, "There is no"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.sentence, stdout, stderr)
		require.Contains(t, stderr, c.says, c.sentence)
		require.Empty(t, stdout, c.sentence)
	}
}
