package app

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/access"
	"integration-gateway/modules/integrations"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// routeRoles lists every route with the role it requires. A trailing * means that a
// credential restricted to sources may use it.
var routeRoles = strings.Fields(`
GET:/livez=  GET:/readyz=  GET:/api/v1/livez=  GET:/api/v1/readyz=  GET:/api/v1/health=
POST:/api/v1/webhooks/:source=  GET:/api/v1/webhooks/:source=  HEAD:/api/v1/webhooks/:source=
PUT:/api/v1/webhooks/:source=  OPTIONS:/api/v1/webhooks/:source=
POST:/api/v1/webhooks/:source/:first=  GET:/api/v1/webhooks/:source/:first=  HEAD:/api/v1/webhooks/:source/:first=
PUT:/api/v1/webhooks/:source/:first=  OPTIONS:/api/v1/webhooks/:source/:first=
POST:/api/v1/webhooks/:source/:first/:second=  GET:/api/v1/webhooks/:source/:first/:second=  HEAD:/api/v1/webhooks/:source/:first/:second=
PUT:/api/v1/webhooks/:source/:first/:second=  OPTIONS:/api/v1/webhooks/:source/:first/:second=
POST:/api/v1/internal/delivery-sink/:provider=  GET:/api/v1/openapi.json=  GET:/api/v1/docs=
GET:/api/v1/providers=viewer*
GET:/api/v1/events=viewer*  GET:/api/v1/events/stream=viewer*  GET:/api/v1/events/:id=viewer*  GET:/api/v1/events/:id/status=viewer*  GET:/api/v1/processing-status/:id=viewer*
GET:/api/v1/deliveries=viewer*  GET:/api/v1/deliveries/errors=viewer*  GET:/api/v1/dead-letters=viewer*  GET:/api/v1/dead-letters/groups=viewer*  GET:/api/v1/dead-letters/:id=viewer*
GET:/api/v1/integrations=viewer*  GET:/api/v1/integrations/:id=viewer*  GET:/api/v1/integrations/:id/secrets=viewer*
GET:/api/v1/quarantine=viewer*  GET:/api/v1/quarantine/groups=viewer*  GET:/api/v1/quarantine/summary=viewer*  GET:/api/v1/quarantine/:id=viewer*
GET:/api/v1/replay-requests=viewer*  GET:/api/v1/replay-requests/:id=viewer*  GET:/api/v1/audit-entries=viewer*
GET:/api/v1/replays=viewer*  GET:/api/v1/replays/:id=viewer*  GET:/api/v1/replays/:id/events=viewer*
POST:/api/v1/replays=operator*  POST:/api/v1/replays/:id/pause=operator*  POST:/api/v1/replays/:id/resume=operator*
POST:/api/v1/replays/:id/cancel=operator*
GET:/api/v1/erasures=viewer*  GET:/api/v1/erasures/:id=viewer*  POST:/api/v1/erasures=admin*  POST:/api/v1/erasures/:id/cancel=admin*
POST:/api/v1/events/:id/mapping=admin*  POST:/api/v1/events/:id/replay=operator*  POST:/api/v1/events/:id/cancel=operator*  POST:/api/v1/events/:id/retry=operator*
POST:/api/v1/dead-letters/:id/requeue=operator*  POST:/api/v1/dead-letters/:id/resolve=operator*  POST:/api/v1/dead-letters/requeue=operator*  POST:/api/v1/dead-letters/resolve=operator*
POST:/api/v1/integrations/:id/destinations/:destinationId/pause=operator*  POST:/api/v1/integrations/:id/destinations/:destinationId/resume=operator*
POST:/api/v1/integrations/:id/destinations/:destinationId/test=operator*  POST:/api/v1/integrations/:id/destinations/:destinationId/probe=operator*
DELETE:/api/v1/quarantine/:id=operator*  POST:/api/v1/quarantine/:id/release=operator*  POST:/api/v1/quarantine/release=operator*
POST:/api/v1/integrations=admin  POST:/api/v1/integrations/apply=admin
PATCH:/api/v1/integrations/:id=admin*  DELETE:/api/v1/integrations/:id=admin*
POST:/api/v1/integrations/:id/secrets=admin*  POST:/api/v1/integrations/:id/rotate-secret=admin*
POST:/api/v1/integrations/:id/secrets/:secretId/reveal=admin*  PATCH:/api/v1/integrations/:id/secrets/:secretId=admin*  DELETE:/api/v1/integrations/:id/secrets/:secretId=admin*
POST:/api/v1/integrations/:id/destinations=admin*
PATCH:/api/v1/integrations/:id/destinations/:destinationId=admin*  DELETE:/api/v1/integrations/:id/destinations/:destinationId=admin*
POST:/api/v1/integrations/:id/destinations/:destinationId/rotate-secret=admin*
POST:/api/v1/api-keys=admin  GET:/api/v1/api-keys=admin  DELETE:/api/v1/api-keys/:id=admin
GET:/api/v1/stats=viewer*  GET:/api/v1/stats/series=viewer*
GET:/api/v1/settings=admin
GET:/api/v1/processes=viewer  GET:/metrics=viewer
GET:/api/v1/alerts=viewer  GET:/api/v1/alerts/mutes=viewer  POST:/api/v1/alerts/test=operator  POST:/api/v1/alerts/mutes=operator
DELETE:/api/v1/alerts/mutes/:id=operator  POST:/api/v1/alerts/:id/acknowledge=operator
GET:/api/v1/alerts/conditions=viewer  PUT:/api/v1/alerts/conditions/:condition=admin  DELETE:/api/v1/alerts/conditions/:condition=admin
`)

// guarded is a wired gateway with two sources, acme and globex, and a key and a token of
// each kind. Tokens have the keys' names with the prefix "token: ".
type guarded struct {
	*system
	t      *testing.T
	keys   map[string]string
	tokens map[string]string
}

func newGuarded(t *testing.T, db *database.DB, flags ...string) *guarded {
	t.Helper()
	ctx := httpapi.WithActor(context.Background(), httpapi.ManagementActor)
	issuer := testkit.NewIssuer(t)
	flags = append(flags, "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", "0",
		"OIDC_ISSUER", issuer.URL, "OIDC_AUDIENCE", testkit.Audience, "OIDC_SOURCES_CLAIM", "sources")
	g, err := wire(devConfig(t, flags...), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
		for _, source := range []string{"acme", "globex"} {
			to := "http://127.0.0.1:9/" + source
			_, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{Source: source, Provider: source,
				Secrets: []integrations.SecretConfig{{Value: secret.New("a-long-secret")}}, Destinations: []contract.DestinationConfig{{URL: &to}}})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	guard := &guarded{g, t, map[string]string{"bootstrap": config.DemoKey},
		map[string]string{"token: without a role": issuer.Token(map[string]any{"sources": "*"})}}
	for _, role := range []string{"viewer", "operator", "admin"} {
		for name, sources := range map[string][]string{role: nil, role + " of acme": {"acme", "nobodys"}} {
			_, text, err := g.access.Create(ctx, access.NewKey{Name: strings.ReplaceAll(name, " ", "-"), Role: role, Sources: sources})
			require.NoError(t, err)
			guard.keys[name] = text.Reveal()
			claim := sources
			if claim == nil {
				claim = []string{"*"}
			}
			guard.tokens["token: "+name] = issuer.Token(map[string]any{"roles": []string{role}, "sources": claim})
		}
	}
	return guard
}

// call sends a request with the named key or token; "" sends none.
func (g *guarded) call(method, path, key, body string) (int, []byte) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, bytes.NewBufferString(body))
	r.Header.Set("Content-Type", "application/json")
	if token, is := g.tokens[key]; is {
		r.Header.Set("Authorization", "Bearer "+token)
	} else if key != "" {
		r.Header.Set("x-internal-api-key", g.keys[key])
	}
	w := httptest.NewRecorder()
	testkit.Checked(g.t, g.server.Handler()).ServeHTTP(leaving{w, cancel}, r)
	return w.Code, w.Body.Bytes()
}

// leaving is a client that disconnects from a stream once it has begun.
type leaving struct {
	*httptest.ResponseRecorder
	leave context.CancelFunc
}

// Flush leaves. Only streams are flushed.
func (l leaving) Flush() { l.leave() }

func TestEveryRouteRequiresItsRole(t *testing.T) {
	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	var found []string
	for _, route := range g.server.Registered() {
		line := route.Method + ":" + route.Path + "=" + route.Role.String()
		if route.Scoped {
			line += "*"
		}
		found = append(found, line)
	}
	require.ElementsMatch(t, routeRoles, found)

	for _, route := range g.server.Registered() {
		if route.Role == 0 {
			continue
		}
		path := strings.NewReplacer(":id", id.New(), ":secretId", id.New(), ":destinationId", id.New()).Replace(route.Path)
		t.Run(route.Method+" "+route.Path, func(t *testing.T) {
			status, _ := g.call(route.Method, path, "", "{}")
			require.Equal(t, http.StatusUnauthorized, status, "without a key")
			status, _ = g.call(route.Method, path, "token: without a role", "{}")
			require.Equal(t, http.StatusForbidden, status, "a token without a role")
			for name, role := range map[string]httpapi.Role{"viewer": httpapi.Viewer, "operator": httpapi.Operator, "admin": httpapi.Admin,
				"token: viewer": httpapi.Viewer, "token: operator": httpapi.Operator, "token: admin": httpapi.Admin} {
				status, body := g.call(route.Method, path, name, "{}")
				require.Equal(t, role < route.Role, status == http.StatusForbidden, "%s: %s", name, body)
				status, body = g.call(route.Method, path, name+" of acme", "{}")
				require.Equal(t, role < route.Role || !route.Scoped, status == http.StatusForbidden, "%s of acme: %s", name, body)
			}
			status, _ = g.call(route.Method, path, "bootstrap", "{}")
			require.NotEqual(t, http.StatusForbidden, status, "the configured key has all permissions")
		})
	}
}

// pathOf is a path of a route, with ids of nothing.
func pathOf(route httpapi.Route) string {
	return strings.NewReplacer(":id", id.New(), ":secretId", id.New(), ":destinationId", id.New(), ":source", "acme", ":provider", "acme").Replace(route.Path)
}

// TestEveryRouteSaysWhatItNeeds holds that a refused credential is told the role, and that its
// mistakes are not told before.
func TestEveryRouteSaysWhatItNeeds(t *testing.T) {
	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	for _, route := range g.server.Registered() {
		path := pathOf(route) + "?nothing=1"
		if route.Role > httpapi.Viewer {
			_, body := g.call(route.Method, path, "viewer", `{"nothing":1}`)
			require.Contains(t, string(body), "This route needs the role "+route.Role.String()+"; this credential has the role viewer.", route.Path)
		}
		if route.Role > 0 {
			_, body := g.call(route.Method, path, "token: without a role", `{"nothing":1}`)
			require.Contains(t, string(body), "needs the role "+route.Role.String()+"; this credential has no role.", route.Path)
		}
		if route.Role > 0 && !route.Scoped {
			_, body := g.call(route.Method, path, "admin of acme", `{"nothing":1}`)
			require.Contains(t, string(body), "not restricted to sources", route.Path)
		}
	}
}

// TestEveryRouteRefusesWhatItDoesNotKnow sends each route of the management API parameters and
// fields that it does not have, wrong ids and wrong values, all at once.
func TestEveryRouteRefusesWhatItDoesNotKnow(t *testing.T) {
	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	for _, route := range g.server.Registered() {
		if route.Spec.Raw {
			require.True(t, route.Role == 0 || route.Path == "/metrics", "%s: only what providers and probes send is not checked", route.Path)
			continue
		}
		t.Run(route.Method+" "+route.Path, func(t *testing.T) {
			want := []string{"nothing", "twice"}
			path := strings.NewReplacer(":id", "x", ":secretId", "y", ":destinationId", "z").Replace(route.Path) + "?nothing=1&twice=1"
			for _, p := range route.PathParams() {
				if p.Kind == httpapi.KindUUID { // there is no record of another name, which is a 404
					want = append(want, p.Name)
				}
			}
			for _, p := range route.Spec.Query {
				if p.Kind != httpapi.KindText && p.Kind != httpapi.KindSource {
					want, path = append(want, p.Name), path+"&"+p.Name+"=nonsense"
				} else {
					want, path = append(want, p.Name), path+"&"+p.Name+"=%00"
				}
			}
			body := ""
			if route.Method != http.MethodGet {
				want, body = append(want, "unheardOf"), `{"unheardOf":{"a":1}}`
			}
			status, answer := g.call(route.Method, path, "bootstrap", body)
			require.Equal(t, http.StatusBadRequest, status, string(answer))
			require.ElementsMatch(t, want, slices.Compact(slices.Sorted(slices.Values(fieldsOf(t, answer)))), string(answer))
		})
	}
}

// fieldsOf returns the fields that a refusal names.
func fieldsOf(t *testing.T, answer []byte) []string {
	t.Helper()
	var refusal struct {
		Error struct {
			Code    string
			Details []struct{ Field string }
		}
	}
	require.NoError(t, json.Unmarshal(answer, &refusal))
	require.Equal(t, "VALIDATION_ERROR", refusal.Error.Code)
	var fields []string
	for _, d := range refusal.Error.Details {
		fields = append(fields, d.Field)
	}
	return fields
}

// TestEveryRouteSuggestsTheNearestName mistypes each parameter of each route.
func TestEveryRouteSuggestsTheNearestName(t *testing.T) {
	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	snake := regexp.MustCompile(`[A-Z]`)
	for _, route := range g.server.Registered() {
		for _, p := range route.Spec.Query {
			mistyped := snake.ReplaceAllStringFunc(p.Name, func(letter string) string { return "_" + strings.ToLower(letter) })
			if mistyped == p.Name {
				mistyped = p.Name + "x"
			}
			status, answer := g.call(route.Method, pathOf(route)+"?"+mistyped+"=1", "bootstrap", "")
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, string(answer), mistyped+" is not a parameter of this route; did you mean "+p.Name+"?", route.Path)
		}
	}
}

// TestEveryPathNamesItsMethods sends each path every other method, without a credential.
func TestEveryPathNamesItsMethods(t *testing.T) {
	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	allowed := map[string][]string{}
	for _, route := range g.server.Registered() {
		allowed[route.Path] = append(allowed[route.Path], route.Method)
	}
	for path, methods := range allowed {
		// A fixed path can be a parameter's value in another, such as release in /quarantine/:id.
		for other, more := range allowed {
			if other != path && strings.Count(other, "/") == strings.Count(path, "/") && strings.HasSuffix(other, "/:id") &&
				strings.HasPrefix(path, strings.TrimSuffix(other, ":id")) {
				methods = slices.Concat(methods, more)
			}
		}
		slices.Sort(methods)
		methods = slices.Compact(methods)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			if slices.Contains(methods, method) {
				continue
			}
			r := httptest.NewRequest(method, pathOf(httpapi.Route{Path: path}), http.NoBody)
			w := httptest.NewRecorder()
			g.server.Handler().ServeHTTP(w, r)
			require.Equal(t, http.StatusMethodNotAllowed, w.Code, "%s %s", method, path)
			require.Equal(t, strings.Join(methods, ", "), w.Header().Get("Allow"), "%s %s", method, path)
			require.Contains(t, w.Body.String(), "METHOD_NOT_ALLOWED")
		}
	}
}

// TestAKeyOfOneSourceCannotReadAnother creates an event, a refused webhook and a dead
// letter of two sources, and reads all of them with a key restricted to one.
func TestAKeyOfOneSourceCannotReadAnother(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db)
		records := map[string]map[string]string{"acme": g.records("acme"), "globex": g.records("globex")}
		for _, list := range []string{"events", "deliveries", "integrations", "quarantine", "dead-letters", "replay-requests"} {
			require.ElementsMatch(t, []string{records["acme"][list], records["globex"][list]}, g.ids(list, "admin"), list)
			require.Equal(t, []string{records["acme"][list]}, g.ids(list, "viewer of acme"), list)
			require.Equal(t, []string{records["acme"][list]}, g.ids(list, "token: viewer of acme"), list)
		}
		require.Empty(t, g.ids("events?source=globex", "viewer of acme"))
		_, sums := g.call("GET", "/api/v1/quarantine/summary", "viewer of acme", "")
		require.Contains(t, string(sums), "acme")
		require.NotContains(t, string(sums), "globex")
		for path, count := range map[string]string{"quarantine/groups": "grouped", "dead-letters/groups": "grouped", "deliveries/errors": "attempts"} {
			_, of := g.call("GET", "/api/v1/"+path, "viewer of acme", "")
			require.Contains(t, string(of), `"`+count+`":1`, path)
			_, of = g.call("GET", "/api/v1/"+path, "admin", "")
			require.Contains(t, string(of), `"`+count+`":2`, path)
		}
		for _, one := range []struct{ method, path, kind, body string }{
			{"GET", "/events/<id>", "events", ""},
			{"GET", "/events/<id>/status", "events", ""},
			{"GET", "/processing-status/<id>", "events", ""},
			{"GET", "/quarantine/<id>", "quarantine", ""},
			{"GET", "/dead-letters/<id>", "dead-letters", ""},
			{"GET", "/replay-requests/<id>", "replay-requests", ""},
			{"GET", "/integrations/<id>", "integrations", ""},
			{"GET", "/integrations/<id>/secrets", "integrations", ""},
			{"PATCH", "/integrations/<id>", "integrations", `{"name":"new"}`},
			{"POST", "/integrations/<id>/secrets", "integrations", `{"value":"another-long-secret"}`},
			{"POST", "/integrations/<id>/rotate-secret", "integrations", `{"value":"yet-another-secret","expireOldSeconds":60}`},
			{"POST", "/integrations/<id>/destinations", "integrations", `{"url":"http://127.0.0.1:9/more"}`},
			{"POST", "/events/<id>/replay", "events", `{"reason":"because"}`},
			{"POST", "/events/<id>/retry", "events", `{}`},
			{"POST", "/events/<id>/mapping", "events", `{"options":{}}`},
			{"POST", "/events/<id>/cancel", "events", `{}`},
			{"POST", "/dead-letters/<id>/resolve", "dead-letters", `{"reason":"by hand"}`},
			{"POST", "/quarantine/<id>/release", "quarantine", ``},
			{"DELETE", "/quarantine/<id>", "quarantine", ``},
			{"POST", "/integrations/<id>/destinations/<destination>/pause", "integrations", `{"reason":"on call"}`},
			{"POST", "/integrations/<id>/destinations/<destination>/resume", "integrations", ``},
			{"POST", "/integrations/<id>/destinations/<destination>/test", "integrations", ``},
			{"POST", "/integrations/<id>/destinations/<destination>/probe", "integrations", ``},
			{"DELETE", "/integrations/<id>", "integrations", ``},
		} {
			path := func(source string) string {
				return "/api/v1" + strings.NewReplacer("<id>", records[source][one.kind], "<destination>", records[source]["destinations"]).Replace(one.path)
			}
			status, body := g.call(one.method, path("globex"), "admin of acme", one.body)
			require.Equal(t, http.StatusNotFound, status, "%s %s: %s", one.method, one.path, body)
			status, body = g.call(one.method, path("acme"), "admin of acme", one.body)
			require.NotContains(t, []int{http.StatusNotFound, http.StatusForbidden, http.StatusInternalServerError}, status, "%s %s: %s", one.method, one.path, body)
		}
		_, body := g.call("POST", "/api/v1/quarantine/release", "operator of acme", `{"source":"globex"}`)
		require.Contains(t, string(body), `"matched":0`)
		_, body = g.call("POST", "/api/v1/quarantine/release", "operator of acme", `{"all":true,"dryRun":true}`)
		require.Contains(t, string(body), `"matched":0`, "its own was deleted above")
		_, body = g.call("POST", "/api/v1/quarantine/release", "operator", `{"all":true,"dryRun":true}`)
		require.Contains(t, string(body), `"matched":1`, "that of globex")
		for _, action := range []string{"requeue", "resolve"} {
			_, body = g.call("POST", "/api/v1/dead-letters/"+action, "operator of acme", `{"dryRun":true,"source":"globex"}`)
			require.Contains(t, string(body), `"matched":0`)
			_, body = g.call("POST", "/api/v1/dead-letters/"+action, "operator", `{"dryRun":true,"source":"globex"}`)
			require.Contains(t, string(body), `"matched":1`)
		}
	})
}

// records creates a record of each kind for a source, and returns their ids.
func (g *guarded) records(source string) map[string]string {
	f := &fixture{system: g.system, t: g.t}
	integrationID := f.text(`SELECT id FROM integrations WHERE source = $1`, source)
	destinationID := f.text(`SELECT id FROM destinations WHERE integration_id = $1`, integrationID)
	of := map[string]string{"integrations": integrationID, "destinations": destinationID}
	for _, kind := range []string{"events", "deliveries", "quarantine", "dead-letters", "replay-requests", "job"} {
		of[kind] = id.New()
	}
	ctx, webhookID := context.Background(), id.New()
	require.NoError(g.t, g.db.InTx(ctx, func(tx *database.Tx) error {
		for _, statement := range []struct {
			text string
			args []any
		}{
			{`INSERT INTO webhook_events (id, request_headers, raw_body, source_ip) VALUES ($1, '{}', $2, '')`, []any{webhookID, []byte("{}")}},
			{`INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, event_type, occurred_at, normalized_payload, correlation_id, received_at, created_at)
			  VALUES ($1, $2, $3, $4, $4, 'a.b', $5, $6, 'c', $5, $5)`, []any{of["events"], webhookID, integrationID, source, tx.Now, []byte("{}")}},
			{`INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at) VALUES ($1, 'pending', 0, $2, $2)`, []any{of["events"], tx.Now}},
			{`INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, duration_ms, created_at)
			  VALUES ($1, $2, $3, $4, 1, 'failed', 1, $5)`, []any{of["deliveries"], of["events"], destinationID, of["job"], tx.Now}},
			{`INSERT INTO quarantine (id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, size, source_ip, correlation_id, received_at)
			  VALUES ($1, $2, $3, $2, 'no_match', 'x', 'POST', '/', '{}', '{}', $4, 2, '', 'c', $5)`, []any{of["quarantine"], source, integrationID, []byte("{}"), tx.Now}},
			{`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, source, provider, event_type, reason, attempts, status, created_at)
			  VALUES ($1, 'exhausted', 'q', $2, $3, $4, $4, 'a.b', 'x', 1, 'open', $5)`, []any{of["dead-letters"], of["events"], destinationID, source, tx.Now}},
			{`INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at)
			  VALUES ($1, $2, $3, false, 'ada', 'to see', 'x', 'completed', $4)`, []any{of["replay-requests"], of["events"], integrationID, tx.Now}},
		} {
			if _, err := tx.Exec(ctx, statement.text, statement.args...); err != nil {
				return err
			}
		}
		return nil
	}))
	return of
}

// ids returns the ids of a list, as the key's holder sees it.
func (g *guarded) ids(list, key string) []string {
	g.t.Helper()
	status, body := g.call("GET", "/api/v1/"+list, key, "")
	require.Equal(g.t, http.StatusOK, status, string(body))
	var answer struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	require.NoError(g.t, json.Unmarshal(body, &answer))
	var ids []string
	for _, item := range answer.Data {
		ids = append(ids, item.ID)
	}
	return ids
}

func TestASeparatePublicListenerHasNoManagementRoutes(t *testing.T) {
	cfg := devConfig(t)
	cfg.ManagementAddr = "127.0.0.1:0"
	db := testkit.Open(t, testkit.SQLite(t))
	g, err := wire(cfg, &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	require.NoError(t, listen(t.Context(), g.frontListeners()))
	require.NotEqual(t, g.server.Addr(), g.manager.Addr())
	served := make(chan error, 2)
	for _, s := range []*httpapi.Server{g.server, g.manager} {
		go func() { served <- s.Serve() }()
	}
	for _, route := range g.manager.Registered() {
		described := strings.HasSuffix(route.Path, "/openapi.json") || strings.HasSuffix(route.Path, "/docs")
		require.False(t, route.Role == 0 && !strings.HasSuffix(route.Path, "z") && !strings.HasSuffix(route.Path, "/health") && !described, "%s is public", route.Path)
	}
	for _, try := range []struct {
		name, address, path string
		status              int
	}{
		{"management on its own listener", g.manager.Addr(), "/api/v1/events", http.StatusOK},
		{"management on the public one", g.server.Addr(), "/api/v1/events", http.StatusNotFound},
		{"the description on the management's", g.manager.Addr(), "/api/v1/openapi.json", http.StatusOK},
		{"the description on the public one", g.server.Addr(), "/api/v1/openapi.json", http.StatusNotFound},
		{"webhooks on the management's", g.manager.Addr(), "/api/v1/webhooks/acme", http.StatusNotFound},
		{"health on the management's", g.manager.Addr(), "/api/v1/livez", http.StatusOK},
		{"health on the public one", g.server.Addr(), "/api/v1/livez", http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+try.address+try.path, http.NoBody)
		require.NoError(t, err)
		r.Header.Set("x-internal-api-key", config.DemoKey)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, try.status, answer.StatusCode, try.name)
	}
	require.NoError(t, g.server.Shutdown(t.Context()))
	require.NoError(t, g.manager.Shutdown(t.Context()))
	require.NoError(t, <-served)
	require.NoError(t, <-served)
}
