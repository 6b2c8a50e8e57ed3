package integrations

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func shortTokens(secrets string) string {
	return `{"source":"short","provider":"generic","secrets":` + secrets + `,"options":{"generic":{
		"scheme":"token","signature":{"header":"X-Token"},"minSecretBytes":5,"event":{"type":"text:a"},
		"challenge":{"parameter":"c","token":"t"}}}}`
}

func TestShortTokensAreAcceptedWithAWarningWhereTheProvidersAre(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for secrets, says := range map[string]string{
			`["1234"]`:  "has 4 bytes and must have at least 5",
			`["aaaaa"]`: "repeats a single character",
			`["x7k2q",{"value":"y8l3r","purpose":"challenge"}]`: "must have at least 8",
		} {
			a := g.manage(http.MethodPost, "/integrations", shortTokens(secrets))
			require.Equal(t, http.StatusBadRequest, a.Status, secrets)
			require.Contains(t, a.Error.Details[0].Message, says)
		}
		a := g.manage(http.MethodPost, "/integrations", shortTokens(`["x7k2q","a-long-token"]`))
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		require.NotContains(t, string(a.Data), "x7k2q")
		var made Integration
		require.NoError(t, json.Unmarshal(a.Data, &made))
		require.Contains(t, *made.Secrets[0].Warning, "It has 5 bytes, as the provider's tokens may")
		require.Nil(t, made.Secrets[1].Warning)
		listed := g.secretsOf(made.ID)
		require.Equal(t, made.Secrets[0].Warning, listed[0].Warning, "it stays")

		base := "/integrations/" + made.ID
		added := g.manage(http.MethodPost, base+"/secrets", `{"value":"m4n5b6"}`)
		require.Equal(t, http.StatusCreated, added.Status)
		require.Contains(t, string(added.Data), "It has 6 bytes")
		rotated := g.manage(http.MethodPost, base+"/rotate-secret", `{"value":"m4n5b6c"}`)
		require.Equal(t, http.StatusCreated, rotated.Status)
		require.Contains(t, string(rotated.Data), "It has 7 bytes")
		require.Contains(t, string(g.manage(http.MethodPost, base+"/rotate-secret", `{"value":"m4n5b6c7"}`).Data), `"warning":null`)

		require.Equal(t, http.StatusBadRequest, g.manage(http.MethodPost, "/integrations/"+g.globex+"/secrets", `{"value":"x7k2q"}`).Status, "not of others")
		require.Equal(t, http.StatusBadRequest, g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"x7k2q"}`).Status)
	})
}
