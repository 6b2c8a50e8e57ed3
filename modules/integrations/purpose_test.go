package integrations

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const hub = `{"source":"hub","provider":"generic","secrets":["an-app-secret",{"value":"a-verify-token","purpose":"challenge"}],"options":{"generic":{
	"scheme":"hmac","signature":{"header":"X-Hub-Signature-256"},"event":{"type":"text:change"},
	"challenge":{"parameter":"hub.challenge","token":"hub.verify_token"}}}}`

func TestASecretHasAPurpose(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		made := g.manage(http.MethodPost, "/integrations", hub)
		require.Equal(t, http.StatusCreated, made.Status, "%+v", made.Error)
		integrationID, err := g.module.IntegrationOf(t.Context(), "hub")
		require.NoError(t, err)
		base := "/integrations/" + integrationID + "/secrets"
		all := g.secretsOf(integrationID)
		require.Equal(t, []provider.Purpose{provider.Signing, provider.Challenge}, []provider.Purpose{all[0].Purpose, all[1].Purpose})
		src, err := g.module.Source(t.Context(), "hub")
		require.NoError(t, err)
		require.Equal(t, provider.Challenge, src.Secrets[1].Purpose, "ingestion knows it")
		require.Equal(t, provider.Token, g.secretsOf(g.globex)[0].Purpose, "what proves its webhooks")

		a := g.manage(http.MethodDelete, base+"/"+all[0].ID, "")
		require.Equal(t, http.StatusConflict, a.Status, "the other one proves no webhook")
		for body, says := range map[string]string{
			`{"value":"another-text","purpose":"decoration"}`: "must be signing, token or challenge",
			`{"value":"another-text","purpose":"token"}`:      "cannot be token",
		} {
			a := g.manage(http.MethodPost, base, body)
			require.Equal(t, http.StatusBadRequest, a.Status)
			require.Equal(t, "purpose", a.Error.Details[0].Field)
			require.Contains(t, a.Error.Details[0].Message, says)
		}
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, base, `{"value":"an-app-secret","purpose":"challenge"}`).Status,
			"one text may be two secrets")
		require.Equal(t, http.StatusBadRequest, g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"a-verify-token","purpose":"challenge"}`).Status,
			"acme checks no address")
		only := `{"source":"only","provider":"generic","secrets":[{"value":"a-verify-token","purpose":"challenge"}],"options":{"generic":{
			"scheme":"hmac","signature":{"header":"X"},"event":{"type":"text:x"},"challenge":{"parameter":"c","token":"t"}}}}`
		require.Equal(t, http.StatusBadRequest, g.manage(http.MethodPost, "/integrations", only).Status, "nothing would prove its webhooks")
	})
}

// A rotation ends the secrets of its purpose only.
func TestARotationLeavesSecretsOfOtherPurposes(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations", hub).Status)
		integrationID, err := g.module.IntegrationOf(t.Context(), "hub")
		require.NoError(t, err)
		before := g.secretsOf(integrationID)
		var old []string
		hour := time.Hour
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) (err error) {
			_, old, err = g.module.RotateSecret(t.Context(), tx, integrationID, SecretConfig{Value: secret.New("the-next-app-secret")}, &hour)
			return err
		}))
		require.Equal(t, []string{before[0].ID}, old)
		after := g.secretsOf(integrationID)
		require.NotNil(t, after[0].ExpiresAt)
		require.Nil(t, after[1].ExpiresAt, "the challenge's token stays")
		require.Equal(t, provider.Signing, after[2].Purpose)
	})
}
