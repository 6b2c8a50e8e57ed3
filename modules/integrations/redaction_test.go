package integrations

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func TestInvalidRedactions(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		create := func(rest string) answer {
			return g.manage(http.MethodPost, "/integrations", `{"source":"made","provider":"acme","secrets":["first-secret"],`+rest+`}`)
		}
		a := create(`"redact":["$.data.email","data.email","$.eventId","$.data[-1]"],"destinations":[{"url":"https://a.example"},{"url":"https://b.example","mode":"raw"}]`)
		require.Equal(t, http.StatusBadRequest, a.Status)
		requireFields(t, []string{"redact[1]: is not a JSON path", "redact[2]: reaches the event's id", "redact[3]: not -1",
			"destinations[1].mode: cannot be raw"}, a.Error.Details)
		a = create(`"redact":[` + strings.TrimSuffix(strings.Repeat(`"$.a",`, 51), ",") + `]`)
		requireFields(t, []string{"redact: at most 50 paths"}, a.Error.Details)
		require.Equal(t, 2, g.count("integrations"))

		raw := `{"url":"https://a.example","mode":"raw"}`
		a = create(`"destinations":[` + raw + `]`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		var made struct {
			ID             string
			SigningSecrets []struct{ ID string }
		}
		require.NoError(t, json.Unmarshal(a.Data, &made))
		path := "/integrations/" + made.ID
		a = g.manage(http.MethodPatch, path, `{"redact":["$.data.email"]}`)
		require.Equal(t, http.StatusBadRequest, a.Status)
		requireFields(t, []string{"redact: change its mode to canonical, or remove it"}, a.Error.Details)
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, path, `{"redact":[]}`).Status, "none is none")

		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, path+"/destinations/"+made.SigningSecrets[0].ID, "").Status)
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, path, `{"redact":["$.data.email"]}`).Status)
		require.Equal(t, []string{"integration.created", "secret.added", "integration.updated"}, g.actions(made.ID))
		a = g.manage(http.MethodPost, path+"/destinations", raw)
		requireFields(t, []string{"mode: remove the paths in redact"}, a.Error.Details)
		a = g.manage(http.MethodPost, path+"/destinations", `{"url":"https://a.example"}`)
		require.Equal(t, http.StatusCreated, a.Status)
		var destination struct{ ID string }
		require.NoError(t, json.Unmarshal(a.Data, &destination))
		a = g.manage(http.MethodPatch, path+"/destinations/"+destination.ID, `{"mode":"raw"}`)
		requireFields(t, []string{"mode: remove the paths in redact"}, a.Error.Details)
		a = g.manage(http.MethodPatch, path, `{"options":{"publicUrl":"https://hooks.example.com/x"}}`)
		require.Contains(t, string(a.Data), `"redact":["$.data.email"]`, "another change leaves it as it is")
	})
}
