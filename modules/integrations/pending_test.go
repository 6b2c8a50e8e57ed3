package integrations

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const hookSecret = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"

func (g *gateway) arrives(integrationID, value string) error {
	return g.module.StoreArrivedSecret(g.t.Context(), integrationID, provider.ArrivedSecret{Handshake: "handshake", Purpose: provider.Signing, Value: secret.New(value)}, "192.0.2.7")
}

// newAsana creates a source without a secret, which its handshake brings.
func (g *gateway) newAsana() (integrationID string) {
	g.t.Helper()
	a := g.manage(http.MethodPost, "/integrations", `{"source":"asana","provider":"asana","secrets":[]}`)
	require.Equal(g.t, http.StatusCreated, a.Status, "%+v", a.Error)
	integrationID, err := g.module.IntegrationOf(g.t.Context(), "asana")
	require.NoError(g.t, err)
	return integrationID
}

func TestAPendingSecretIsConfirmed(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		asana := g.newAsana()
		require.NoError(t, g.arrives(asana, hookSecret))
		require.NoError(t, g.arrives(asana, hookSecret), "the same again")
		all := g.secretsOf(asana)
		require.Len(t, all, 1)
		require.False(t, all[0].IsActive)
		require.NotNil(t, all[0].PendingSince)
		require.Equal(t, provider.Signing, all[0].Purpose)
		require.Equal(t, http.StatusUnauthorized, g.takes("asana", hookSecret))
		var stored string
		require.NoError(t, db.Get(t.Context(), &stored, "SELECT secret FROM integration_secrets WHERE id = $1", all[0].ID))
		require.NotContains(t, stored, hookSecret, "it is sealed")

		one := "/integrations/" + asana + "/secrets/" + all[0].ID
		shown := g.manage(http.MethodPost, one+"/reveal", "")
		require.Equal(t, http.StatusOK, shown.Status)
		require.Contains(t, string(shown.Data), hookSecret)
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, one, `{"note":"of the project Bugs"}`).Status)
		require.Equal(t, http.StatusUnauthorized, g.takes("asana", hookSecret), "a note confirms nothing")

		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, one, `{"isActive":true}`).Status)
		require.Equal(t, http.StatusAccepted, g.takes("asana", hookSecret), "at once")
		require.Nil(t, g.secretsOf(asana)[0].PendingSince)
		require.Equal(t, http.StatusConflict, g.manage(http.MethodPost, one+"/reveal", "").Status, "it is never shown again")
		require.Equal(t, []string{"integration.created", "secret.arrived", "secret.revealed", "secret.updated", "secret.confirmed"}, g.actions(asana))

		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, one, `{"isActive":false,"force":true}`).Status)
		require.NoError(t, g.arrives(asana, hookSecret))
		require.Nil(t, g.secretsOf(asana)[0].PendingSince, "what was switched off stays off")
		require.Len(t, g.secretsOf(asana), 1)
	})
}

func TestWhoeverHasTheValueConfirmsAPendingSecret(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		asana := g.newAsana()
		require.NoError(t, g.arrives(asana, "a-stranger's-secret"))
		require.NoError(t, g.arrives(asana, hookSecret))
		a := g.manage(http.MethodPost, "/integrations/"+asana+"/secrets", `{"value":"`+hookSecret+`","note":"from Asana's answer"}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		all := g.secretsOf(asana)
		require.Len(t, all, 2)
		require.True(t, all[1].IsActive)
		require.Equal(t, "from Asana's answer", all[1].Note)
		require.Equal(t, http.StatusAccepted, g.takes("asana", hookSecret))
		require.Equal(t, http.StatusUnauthorized, g.takes("asana", "a-stranger's-secret"))
	})
}

func TestPendingSecretsAreFewAndPushNothingOut(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		asana := g.newAsana()
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations/"+asana+"/secrets", `{"value":"the-confirmed-secret"}`).Status)
		require.NoError(t, g.arrives(asana, hookSecret))
		for i := range 20 {
			err := g.arrives(asana, fmt.Sprintf("a-flood-of-secrets-%d", i))
			require.Equal(t, i < maxPending-1, err == nil)
			if err != nil {
				require.True(t, fault.Is(err, fault.Conflict), "%v", err)
			}
		}
		all := g.secretsOf(asana)
		require.Len(t, all, 1+maxPending)
		require.Equal(t, http.StatusAccepted, g.takes("asana", "the-confirmed-secret"))
		shown := g.manage(http.MethodPost, "/integrations/"+asana+"/secrets/"+all[1].ID+"/reveal", "")
		require.Contains(t, string(shown.Data), hookSecret, "the first one stays")
		for _, short := range []string{"1234567", "", " padded-secret "} {
			require.True(t, fault.Is(g.arrives(asana, short), fault.Unauthorized), short)
		}

		g.exec("UPDATE integration_secrets SET pending_since = $1 WHERE id = $2", at.now().Add(-2*pendingStay), all[2].ID)
		require.NoError(t, g.arrives(asana, "the-next-days-secret"))
		var ids []string
		for _, s := range g.secretsOf(asana) {
			ids = append(ids, s.ID)
		}
		require.Len(t, ids, 1+maxPending)
		require.NotContains(t, ids, all[2].ID, "nobody confirmed it in a day")
		require.Contains(t, ids, all[1].ID)
	})
}

func TestAFileLeavesPendingSecrets(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	asana := g.newAsana()
	require.NoError(t, g.arrives(asana, hookSecret))
	a := g.manage(http.MethodPost, "/integrations/apply", `{"integrations":[{"source":"asana","secrets":["of-the-files-author"]}]}`)
	require.Equal(t, http.StatusOK, a.Status, "%+v", a.Error)
	require.Len(t, g.secretsOf(asana), 2)
	require.Equal(t, http.StatusUnauthorized, g.takes("asana", hookSecret))
}

func TestOnlyProvidersThatBringASecretNeedNone(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for body, status := range map[string]int{
		`{"source":"a1","provider":"acme","secrets":[]}`:   http.StatusBadRequest,
		`{"source":"a2","provider":"acme"}`:                http.StatusBadRequest,
		`{"source":"n1","provider":"notion","secrets":[]}`: http.StatusCreated,
	} {
		require.Equal(t, status, g.manage(http.MethodPost, "/integrations", body).Status, body)
	}
	all := g.secretsOf(g.acme)
	a := g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets/"+all[0].ID+"/reveal", "")
	require.Equal(t, http.StatusConflict, a.Status, "it is not pending")
	require.NotContains(t, string(a.Data)+a.Error.Message, acmeSecret)
	other := g.manage(http.MethodPost, "/integrations/"+g.globex+"/secrets/"+all[0].ID+"/reveal", "")
	require.Equal(t, http.StatusNotFound, other.Status, "of another integration")
}
