package integrations

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// actions are what the audit trail says of an entity, in order.
func (g *gateway) actions(entityID string) []string {
	g.t.Helper()
	var actions []string
	require.NoError(g.t, g.db.Select(g.t.Context(), &actions, `SELECT action FROM audit_entries WHERE entity_id = $1 ORDER BY id`, entityID))
	return actions
}

// create makes an integration of acme and gives its id.
func (g *gateway) create(source string, secrets ...string) string {
	g.t.Helper()
	text, _ := json.Marshal(secrets)
	a := g.manage(http.MethodPost, "/integrations", fmt.Sprintf(`{"source":%q,"provider":"acme","secrets":%s}`, source, text))
	require.Equal(g.t, http.StatusCreated, a.Status, "%+v", a.Error)
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(g.t, json.Unmarshal(a.Data, &made))
	return made.ID
}

func TestCreateIntegration(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		require.Equal(t, http.StatusNotFound, g.takes("acme-eu", "first-secret"), "which is remembered")
		a := g.manage(http.MethodPost, "/integrations", `{"source":"acme-eu","provider":"acme","name":"Acme Europe",
			"secrets":["first-secret",{"value":"second-secret","note":"from the dashboard","expiresAt":"9999-01-01T00:00:00Z"}],
			"destinations":[{"url":"https://a.example/in"},{"url":"https://b.example/in"}],
			"options":{"publicUrl":"https://hooks.example.com/acme"},"isActive":true,"rateLimitPerMinute":10,"maxBodyBytes":100000}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		var made struct {
			Integration
			SigningSecrets []struct{ ID, SigningSecret string } `json:"signingSecrets"`
		}
		require.NoError(t, json.Unmarshal(a.Data, &made))
		require.Equal(t, "acme-eu", made.Source)
		require.Equal(t, "Acme Europe", made.Name)
		require.JSONEq(t, `{"publicUrl":"https://hooks.example.com/acme"}`, string(made.Options))
		require.Equal(t, 10, *made.RateLimitPerMinute)
		require.Equal(t, int64(100000), *made.MaxBodyBytes)
		require.Len(t, made.Secrets, 2)
		require.Equal(t, "from the dashboard", made.Secrets[1].Note)
		require.Len(t, made.SigningSecrets, 2)
		require.Equal(t, "whsec_shown-once", made.SigningSecrets[0].SigningSecret)
		require.Equal(t, []string{"integration.created", "secret.added", "secret.added"}, g.actions(made.ID))

		require.Equal(t, http.StatusAccepted, g.takes("acme-eu", "first-secret"), "at once")
		require.Equal(t, http.StatusAccepted, g.takes("acme-eu", "second-secret"))
		require.Equal(t, http.StatusUnauthorized, g.takes("acme-eu", "third-secret"))

		shown := g.get("/integrations/" + made.ID)
		require.Equal(t, http.StatusOK, shown.Status)
		require.NotContains(t, string(shown.Data), "whsec_", "it is shown once")
		var stored []string
		require.NoError(t, db.Select(t.Context(), &stored, `SELECT secret FROM integration_secrets`))
		require.NotContains(t, strings.Join(stored, " "), "first-secret", "secrets are sealed at rest")
		var trail []string
		require.NoError(t, db.Select(t.Context(), &trail, `SELECT details FROM audit_entries`))
		for _, text := range append(trail, string(a.Data), string(shown.Data)) {
			for _, hidden := range []string{"first-secret", "second-secret", "sealed:"} {
				require.NotContains(t, text, hidden)
			}
		}
	})
}

func TestProductionRequiresThePublicURLOfSigningProviders(t *testing.T) {
	const square = `{"source":"square-source","provider":"square","secrets":["a-secret-of-the-tests"]%s}`
	needing := func(c *Config, _ *Deps) { c.NeedsPublicURL = true }
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), needing)
	refused := g.manage(http.MethodPost, "/integrations", fmt.Sprintf(square, ""))
	require.Equal(t, http.StatusBadRequest, refused.Status)
	require.Equal(t, "options.publicUrl", refused.Error.Details[0].Field)
	require.Contains(t, refused.Error.Details[0].Message, "PUBLIC_BASE_URL")
	require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations", fmt.Sprintf(square, `,"options":{"publicUrl":"http://hooks.example.com/api/v1/webhooks/square-source"}`)).Status)
	src, err := g.module.Source(t.Context(), "square-source")
	require.NoError(t, err)
	require.True(t, src.Spec.KnowsURL(), "the host of the request does not count")

	old := setup(t, testkit.Open(t, testkit.SQLite(t)), needing)
	old.add("square-source", "square", "a-secret-of-the-tests")
	_, err = old.module.Source(t.Context(), "square-source")
	require.True(t, fault.Is(err, fault.Unavailable), "one that exists waits for its operator")
	require.Equal(t, http.StatusAccepted, old.takes("acme", acmeSecret), "and the others go on")

	based := setup(t, testkit.Open(t, testkit.SQLite(t)), needing, func(c *Config, _ *Deps) { c.PublicBaseURL = "http://hooks.example.com" })
	require.Equal(t, http.StatusCreated, based.manage(http.MethodPost, "/integrations", fmt.Sprintf(square, "")).Status)
	development := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.Equal(t, http.StatusCreated, development.manage(http.MethodPost, "/integrations", fmt.Sprintf(square, "")).Status)
	_, err = development.module.Source(t.Context(), "square-source")
	require.NoError(t, err)
}

func TestTheNameOfAnIntegrationIsItsProvidersTitleUnlessGiven(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.Contains(t, string(g.get("/integrations/"+g.create("acme-eu", "first-secret")).Data), `"name":"Acme"`)
}

func TestAllViolationsInANewIntegrationAreReported(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, _ *Deps) { c.RefusedSecrets = []secret.Value{secret.New("acme-demo-secret")} })
	cases := []struct {
		name, body string
		want       []string // "field: part of the message"
	}{
		{"nothing at all", `{}`, []string{"source: is required", "provider: is required: one of acme", "secrets: at least one"}},
		{"everything is wrong", `{"source":"Acme EU","provider":"initech","name":"a\nb","secrets":["short",{"value":" padded-secret","note":"a\u0000b"},{"note":"x"}],
			"destinations":[{},{"url":"https://a.example"},{"url":""}],"rateLimitPerMinute":-1,"maxBodyBytes":33554433}`,
			[]string{"source: lower-case", "provider: must be one of acme", "name: on one line", "secrets[0].value: has 5 bytes and must have at least 8",
				"secrets[1].value: white space", "secrets[1].note: on one line", "secrets[2].value: is required", "destinations[0].url: is required",
				"destinations[2].url: is required", "rateLimitPerMinute: from 0", "maxBodyBytes: to 33554432"}},
		{"a name that looks like another", `{"source":"a","provider":"acme","secrets":[{"value":"first-secret","note":"a\u200bb"}],"name":"A\u202ecme"}`,
			[]string{"name: visible characters on one line", "secrets[0].note: visible characters on one line"}},
		{"unknown fields, at every depth", `{"sources":"x","secrets":[{"valu":"x"}],"destinations":[{"uri":"x"}],"options":{"tolerance":1}}`,
			[]string{"destinations[0].uri: is not a field", "options.tolerance: is not a field", "secrets[0].valu: is not a field", "sources: is not a field"}},
		{"values of another kind", `{"source":1,"secrets":[7],"destinations":"x","isActive":"yes","rateLimitPerMinute":1.5}`,
			[]string{"destinations: must be a list", "isActive: must be true or false", "rateLimitPerMinute: must be a whole number",
				"secrets[0]: must be text, or an object", "source: must be text"}},
		{"options that the provider has not", `{"source":"a","provider":"acme","secrets":["first-secret"],"options":{"toleranceSeconds":5}}`,
			[]string{"options.toleranceSeconds: no signed time"}},
		{"a secret that can never match", `{"source":"a","provider":"discord","secrets":["first-secret"]}`, []string{"secrets[0].value: cannot verify anything"}},
		{"a secret of one byte", `{"source":"a","provider":"acme","secrets":["x"]}`, []string{"secrets[0].value: has 1 byte and must have at least 8"}},
		{"a secret twice", `{"source":"a","provider":"acme","secrets":["first-secret","first-secret"]}`, []string{"secrets[1].value: is the same as secrets[0]"}},
		{"a secret that has expired", `{"source":"a","provider":"acme","secrets":[{"value":"first-secret","expiresAt":"2020-01-01T00:00:00Z"}]}`,
			[]string{"secrets[0].expiresAt: must be in the future"}},
		{"an expiry that is no time", `{"source":"a","provider":"acme","secrets":[{"value":"first-secret","expiresAt":"tomorrow"}]}`,
			[]string{"secrets[0].expiresAt: must be an RFC 3339 time"}},
		{"a secret that everybody knows", `{"source":"a","provider":"acme","secrets":["acme-demo-secret"]}`, []string{"secrets[0].value: is a publicly known demo secret"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := g.count("integrations")
			a := g.manage(http.MethodPost, "/integrations", c.body)
			require.Equal(t, http.StatusBadRequest, a.Status)
			requireFields(t, c.want, a.Error.Details)
			require.NotContains(t, fmt.Sprint(a.Error), "padded-secret")
			require.Equal(t, before, g.count("integrations"))
		})
	}
}

// requireFields compares violations with "field: part of the message".
func requireFields(t *testing.T, want []string, got []fault.Field) {
	t.Helper()
	require.Len(t, got, len(want), "%v", got)
	for i, w := range want {
		field, part, _ := strings.Cut(w, ": ")
		require.Equal(t, field, got[i].Field)
		require.Contains(t, got[i].Message, part)
	}
}

func TestAnIntegrationIsStoredAtomically(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		tables := []string{"integrations", "integration_secrets", "destinations", "audit_entries"}
		before := map[string]int{}
		for _, table := range tables {
			before[table] = g.count(table)
		}
		g.to.failure = errors.New("the disk is full")
		a := g.manage(http.MethodPost, "/integrations", `{"source":"a","provider":"acme","secrets":["first-secret"],"destinations":[{"url":"https://a.example"}]}`)
		require.Equal(t, http.StatusInternalServerError, a.Status)
		a = g.manage(http.MethodDelete, "/integrations/"+g.acme, "")
		require.Equal(t, http.StatusInternalServerError, a.Status)
		for _, table := range tables {
			require.Equal(t, before[table], g.count(table), table)
		}
		require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret), "it was not archived")
	})
}

func TestChangeIntegration(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		cases := []struct {
			name, body string
			want       string // part of the answer
			audited    bool
		}{
			{"a name", `{"name":"Renamed"}`, `"name":"Renamed"`, true},
			{"the same name again is no change", `{"name":"Renamed"}`, `"name":"Renamed"`, false},
			{"nothing is no change", `{}`, `"name":"Renamed"`, false},
			{"a limit", `{"rateLimitPerMinute":5}`, `"rateLimitPerMinute":5`, true},
			{"another field leaves the limit", `{"maxBodyBytes":100}`, `"rateLimitPerMinute":5`, true},
			{"null takes the configured limit", `{"rateLimitPerMinute":null}`, `"rateLimitPerMinute":null`, true},
			{"0 is no limit, which is not null", `{"rateLimitPerMinute":0}`, `"rateLimitPerMinute":0`, true},
			{"options as a whole", `{"options":{"publicUrl":"https://hooks.example.com/acme"}}`, `"options":{"publicUrl":"https://hooks.example.com/acme"}`, true},
			{"off", `{"isActive":false}`, `"warnings":["The source is disabled: its webhooks are answered 404`, true},
			{"on", `{"isActive":true,"maxBodyBytes":null}`, `"isActive":true,"warnings":[]`, true},
		}
		for _, c := range cases {
			before := len(g.actions(g.acme))
			a := g.manage(http.MethodPatch, "/integrations/"+g.acme, c.body)
			require.Equal(t, http.StatusOK, a.Status, "%s %+v", c.name, a.Error)
			require.Contains(t, string(a.Data), c.want, c.name)
			require.Equal(t, c.audited, len(g.actions(g.acme)) > before, c.name)
		}
		a := g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"source":"x","provider":"globex","name":"","maxBodyBytes":0}`)
		requireFields(t, []string{"provider: is not a field", "source: is not a field"}, a.Error.Details)
		a = g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"name":"","maxBodyBytes":0}`)
		requireFields(t, []string{"name: 1 to 120", "maxBodyBytes: from 1"}, a.Error.Details)
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPatch, "/integrations/"+id.New(), `{}`).Status)
		require.Equal(t, http.StatusBadRequest, g.manage(http.MethodPatch, "/integrations/acme", `{}`).Status)
	})
}

func TestAnArchivedIntegrationAcceptsNothingAndKeepsItsHistory(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		require.Equal(t, http.StatusAccepted, g.takes("acme", acmeSecret))
		require.Equal(t, http.StatusBadRequest, g.manage(http.MethodDelete, "/integrations/"+g.acme+"?openJobs=drop", "").Status)
		a := g.manage(http.MethodDelete, "/integrations/"+g.acme+"?openJobs=cancel", "")
		require.Equal(t, http.StatusOK, a.Status, "%+v", a.Error)
		require.NotContains(t, string(a.Data), `"archivedAt":null`)
		require.Equal(t, []string{"cancel"}, g.to.closed)
		require.Equal(t, []string{"integration.archived"}, g.actions(g.acme))

		require.Equal(t, http.StatusNotFound, g.takes("acme", acmeSecret))
		require.Equal(t, http.StatusOK, g.get("/integrations/"+g.acme).Status)
		ids, _ := g.get("/integrations").list(t)
		require.Equal(t, []string{g.globex}, ids)
		ids, _ = g.get("/integrations?archived=true").list(t)
		require.Equal(t, []string{g.acme, g.globex}, ids)

		for _, change := range []struct{ method, path, body string }{
			{http.MethodPatch, "", `{"isActive":true}`}, {http.MethodDelete, "", ""}, {http.MethodPost, "/secrets", `{"value":"first-secret"}`},
			{http.MethodPost, "/destinations", `{"url":"https://a.example"}`},
		} {
			a := g.manage(change.method, "/integrations/"+g.acme+change.path, change.body)
			require.Equal(t, http.StatusConflict, a.Status, change)
		}
		a = g.manage(http.MethodPost, "/integrations", `{"source":"acme","provider":"acme","secrets":["first-secret"]}`)
		require.Equal(t, http.StatusConflict, a.Status)
		requireFields(t, []string{"source: choose another"}, a.Error.Details)
	})
}

func TestASourceThatExistsIsAConflict(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	a := g.manage(http.MethodPost, "/integrations", `{"source":"acme","provider":"acme","secrets":["first-secret"]}`)
	require.Equal(t, http.StatusConflict, a.Status)
	requireFields(t, []string{"source: already"}, a.Error.Details)
}

func TestADestinationIsTestedWithASampleOrAGivenEvent(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	path := "/integrations/" + g.acme + "/destinations/" + g.acme
	require.Equal(t, http.StatusOK, g.manage(http.MethodPost, path+"/test", "").Status)
	require.Equal(t, http.StatusOK, g.manage(http.MethodPost, path+"/test", `{"payload":{"eventType":"a.b","n":12345678901234567890}}`).Status)
	require.Equal(t, http.StatusOK, g.manage(http.MethodPost, path+"/test", `{"eventId":"`+g.globex+`"}`).Status)
	require.Len(t, g.to.tested, 3)
	sample, given, stored := g.to.tested[0], g.to.tested[1], g.to.tested[2]
	require.Equal(t, [3]string{"acme", "acme", "gateway.test"}, [3]string{sample.Source, sample.Provider, sample.EventType})
	require.JSONEq(t, `{"test":true,"message":"A test of this destination. No event happened."}`, member(t, sample.Payload, "data"))
	require.Equal(t, `{"eventType":"a.b","n":12345678901234567890}`, string(given.Payload))
	require.Equal(t, "a.b", given.EventType)
	require.Equal(t, g.globex, stored.EventID)
	require.Equal(t, g.acme, stored.DestinationID)

	requireFields(t, []string{"eventId: must be the UUID of an event of this integration"}, g.manage(http.MethodPost, path+"/test", `{"eventId":"evt_1"}`).Error.Details)
	requireFields(t, []string{"payload: must be an object: the event to send"}, g.manage(http.MethodPost, path+"/test", `{"payload":[1]}`).Error.Details)
	requireFields(t, []string{"payload: cannot be combined with eventId"}, g.manage(http.MethodPost, path+"/test", `{"payload":{},"eventId":"`+g.acme+`"}`).Error.Details)
	unknown := "/integrations/" + id.New() + "/destinations/" + g.acme
	for _, what := range []string{"/test", "/probe"} {
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, unknown+what, "").Status)
	}
	require.Equal(t, http.StatusAccepted, g.manage(http.MethodPost, path+"/probe", "").Status)
	require.Len(t, g.to.tested, 3, "what is wrong is not sent")
}

func TestADestinationIsPausedForATimeAndAReason(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	path := "/integrations/" + g.acme + "/destinations/"
	made := g.manage(http.MethodPost, "/integrations/"+g.acme+"/destinations", `{"url":"https://example.com/paused"}`)
	require.Equal(t, http.StatusCreated, made.Status)
	var d contract.NewDestination
	require.NoError(t, json.Unmarshal(made.Data, &d))
	for _, body := range []string{"", `{"until":"2026-12-01T06:00:00+02:00","reason":"the receiver moves"}`} {
		require.Equal(t, http.StatusOK, g.manage(http.MethodPost, path+d.ID+"/pause", body).Status)
	}
	require.Equal(t, http.StatusOK, g.manage(http.MethodPost, path+d.ID+"/resume", "").Status)
	require.Equal(t, contract.PauseOrder{}, g.to.paused[0])
	require.Equal(t, "the receiver moves", *g.to.paused[1].Reason)
	require.Equal(t, "2026-12-01T04:00:00.000Z", g.to.paused[1].Until.String())

	requireFields(t, []string{"reason: must be text of 2 to 500 characters"}, g.manage(http.MethodPost, path+d.ID+"/pause", `{"reason":" a "}`).Error.Details)
	requireFields(t, []string{"untill: is not a field"}, g.manage(http.MethodPost, path+d.ID+"/pause", `{"untill":"2026-12-01T06:00:00Z"}`).Error.Details)
	require.Equal(t, http.StatusBadRequest, g.manage(http.MethodPost, path+d.ID+"/pause", `{"until":"tomorrow"}`).Status)
	for _, action := range []string{"/pause", "/resume"} {
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, path+id.New()+action, "").Status)
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, "/integrations/"+id.New()+"/destinations/"+d.ID+action, "").Status)
	}
	require.Len(t, g.to.paused, 3, "what is wrong pauses nothing")
}

// member returns a member of a JSON object.
func member(t *testing.T, text []byte, name string) string {
	t.Helper()
	var object map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &object))
	return string(object[name])
}

func TestDestinationsOfAnIntegration(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		base := "/integrations/" + g.acme + "/destinations"
		a := g.manage(http.MethodPost, base, `{"url":"https://a.example"}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		var made struct{ ID, SigningSecret string }
		require.NoError(t, json.Unmarshal(a.Data, &made))
		require.Equal(t, "whsec_shown-once", made.SigningSecret)
		requireFields(t, []string{"url: is required"}, g.manage(http.MethodPost, base, `{}`).Error.Details)
		requireFields(t, []string{"uri: is not a field"}, g.manage(http.MethodPatch, base+"/"+made.ID, `{"uri":"x"}`).Error.Details)
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, base+"/"+made.ID, `{"url":"https://b.example"}`).Status)
		a = g.manage(http.MethodPost, base+"/"+made.ID+"/rotate-secret", "")
		require.Equal(t, http.StatusOK, a.Status)
		require.Contains(t, string(a.Data), "whsec_rotated")

		other := "/integrations/" + g.globex + "/destinations/" + made.ID
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPatch, other, `{"url":"https://c.example"}`).Status, "of another integration")
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, other+"/rotate-secret", "").Status)
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodDelete, other, "").Status)
		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, base+"/"+made.ID, "").Status)
		require.Equal(t, []string{"finish", "finish"}, g.to.closed)
		require.Equal(t, 0, g.count("destinations"))
	})
}
