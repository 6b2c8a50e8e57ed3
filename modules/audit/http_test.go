package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/audit"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const managementKey = "a-management-key"

type answer struct {
	Success bool             `json:"success"`
	Data    []map[string]any `json:"data"`
	Meta    struct {
		Page       *int    `json:"page"`
		PageSize   int     `json:"pageSize"`
		Total      int     `json:"total"`
		TotalPages int     `json:"totalPages"`
		NextCursor *string `json:"nextCursor"`
	} `json:"meta"`
	Error struct {
		Code    string                            `json:"code"`
		Details []struct{ Field, Message string } `json:"details"`
	} `json:"error"`
}

func setup(t *testing.T, db *database.DB) (*audit.Module, http.Handler) {
	log := slog.New(slog.DiscardHandler)
	m := audit.New(audit.Config{}, audit.Deps{DB: db, Log: log, Now: clock.System})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: log, Now: clock.System})
	m.Routes(server.Routes())
	return m, testkit.Checked(t, server.Handler())
}

func get(t *testing.T, h http.Handler, query, key string) (int, answer) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/audit-entries"+query, nil)
	if key != "" {
		r.Header.Set(httpapi.HeaderManagementKey, key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var a answer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a), w.Body.String())
	return w.Code, a
}

func record(t *testing.T, db *database.DB, m *audit.Module, entries ...contract.AuditEntry) error {
	t.Helper()
	return db.InTx(context.Background(), func(tx *database.Tx) error {
		return m.Record(context.Background(), tx, entries)
	})
}

func actions(a answer) []any {
	found := []any{}
	for _, e := range a.Data {
		found = append(found, e["action"])
	}
	return found
}

func TestEntriesAreShownAsTheyWereRecorded(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m, h := setup(t, db)
		event := id.New()
		require.NoError(t, record(t, db, m,
			contract.AuditEntry{EntityType: "normalized_event", EntityID: &event, Action: "event.queued", Actor: "gateway",
				Details: json.RawMessage(` {"n":12345678901234567890,"text":"ü \u0000 \ud800"} `)},
			contract.AuditEntry{EntityType: "management_api", Action: "auth.failed", Actor: "gateway"}))

		status, a := get(t, h, "", managementKey)
		require.Equal(t, 200, status)
		require.True(t, a.Success)
		require.Len(t, a.Data, 2)
		newest, oldest := a.Data[0], a.Data[1]
		require.Equal(t, "auth.failed", newest["action"])
		require.Contains(t, newest, "entityId")
		require.Nil(t, newest["entityId"])
		require.Equal(t, map[string]any{}, newest["details"])
		require.Equal(t, event, oldest["entityId"])
		require.Equal(t, "normalized_event", oldest["entityType"])
		require.Equal(t, "gateway", oldest["actor"])
		require.True(t, id.Valid(oldest["id"].(string)))
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$`, oldest["createdAt"])
		require.Equal(t, "ü \x00 \uFFFD", oldest["details"].(map[string]any)["text"])
		require.Len(t, oldest, 7)
	})
}

func TestEntriesAreFilteredAndPaged(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m, h := setup(t, db)
		event, other := id.New(), id.New()
		entry := func(kind string, entity *string, action string) contract.AuditEntry {
			return contract.AuditEntry{EntityType: kind, EntityID: entity, Action: action, Actor: "gateway"}
		}
		require.NoError(t, record(t, db, m,
			entry("webhook_event", &other, "webhook.received"), entry("normalized_event", &event, "event.normalized"),
			entry("normalized_event", &event, "event.queued"), entry("normalized_event", &event, "event.processed"),
			entry("webhook_event", nil, "webhook.rejected")))

		for _, test := range []struct {
			name, query string
			want        []any
		}{
			{"all, the newest first", "", []any{"webhook.rejected", "event.processed", "event.queued", "event.normalized", "webhook.received"}},
			{"by entity", "?entityId=" + event, []any{"event.processed", "event.queued", "event.normalized"}},
			{"an id may be in upper case", "?entityId=" + strings.ToUpper(event), []any{"event.processed", "event.queued", "event.normalized"}},
			{"by type", "?entityType=webhook_event", []any{"webhook.rejected", "webhook.received"}},
			{"by action", "?action=event.queued", []any{"event.queued"}},
			{"all conditions hold at once", "?action=event.queued&entityId=" + other, []any{}},
			{"an unknown action is found nowhere", "?action=event.lost", []any{}},
			{"a percent sign is no wildcard", "?action=event%25", []any{}},
			{"an empty filter matches all", "?action=&entityType=webhook_event", []any{"webhook.rejected", "webhook.received"}},
			{"the second page", "?page=2&pageSize=2", []any{"event.queued", "event.normalized"}},
			{"the last page may be shorter", "?page=3&pageSize=2", []any{"webhook.received"}},
			{"a page past the last is empty", "?page=4&pageSize=2", []any{}},
		} {
			t.Run(test.name, func(t *testing.T) {
				status, a := get(t, h, test.query, managementKey)
				require.Equal(t, 200, status)
				require.Equal(t, test.want, actions(a))
			})
		}

		_, first := get(t, h, "?pageSize=3", managementKey)
		require.Equal(t, 5, first.Meta.Total)
		require.Equal(t, 2, first.Meta.TotalPages)
		require.NotNil(t, first.Meta.NextCursor)
		_, rest := get(t, h, "?pageSize=3&cursor="+*first.Meta.NextCursor, managementKey)
		require.Equal(t, []any{"event.normalized", "webhook.received"}, actions(rest))
		require.Nil(t, rest.Meta.NextCursor)
		require.Nil(t, rest.Meta.Page)
	})
}

func TestAnInvalidQueryNamesTheParameter(t *testing.T) {
	_, h := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for query, field := range map[string]string{
		"?page=0": "page", "?page=-1": "page", "?pageSize=0": "pageSize", "?pageSize=101": "pageSize", "?pageSize=1e9": "pageSize",
		"?entityId=7": "entityId", "?cursor=nonsense": "cursor", "?action=%00": "action", "?entityType=%ff": "entityType",
	} {
		status, a := get(t, h, query, managementKey)
		require.Equal(t, 400, status, query)
		require.Equal(t, "VALIDATION_ERROR", a.Error.Code)
		require.Equal(t, field, a.Error.Details[0].Field)
	}
	status, _ := get(t, h, "?pageSize=100", managementKey)
	require.Equal(t, 200, status)
}

func TestTheTrailRequiresTheManagementKey(t *testing.T) {
	_, h := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, key := range []string{"", "another-key-altogether"} {
		status, a := get(t, h, "", key)
		require.Equal(t, 401, status)
		require.Equal(t, "UNAUTHORIZED", a.Error.Code)
		require.Nil(t, a.Data)
	}
}

func TestADatabaseOutageIsNotAClientError(t *testing.T) {
	db, err := database.Open(database.Config{URL: "postgres://gateway@127.0.0.1:1/gateway?sslmode=disable"}, clock.System)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	_, h := setup(t, db)
	status, a := get(t, h, "", managementKey)
	require.Equal(t, 503, status)
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", a.Error.Code)
}

func TestDetailsThatAreNotAnObjectAreRefused(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m, h := setup(t, db)
		good := contract.AuditEntry{EntityType: "normalized_event", Action: "event.queued", Actor: "gateway"}
		for _, details := range []string{`{`, `{}{}`, `[]`, `null`, `"text"`, `1`, `{"a":` + "\"\x00\"}", "{\"a\":\"\xff\"}"} {
			bad := good
			bad.Details = json.RawMessage(details)
			require.ErrorContains(t, record(t, db, m, good, bad), "not a JSON object", details)
		}
		_, a := get(t, h, "", managementKey)
		require.Empty(t, a.Data, "the valid entry is rolled back too")
		require.NotNil(t, a.Data)
	})
}

func TestAnEntryCommitsOrFailsWithItsTransaction(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m, h := setup(t, db)
		failure := errors.New("the rest failed")
		err := db.InTx(context.Background(), func(tx *database.Tx) error {
			if err := m.Record(context.Background(), tx, []contract.AuditEntry{{EntityType: "a", Action: "b", Actor: "c"}}); err != nil {
				return err
			}
			return failure
		})
		require.ErrorIs(t, err, failure)
		_, a := get(t, h, "", managementKey)
		require.Zero(t, a.Meta.Total)
	})
}

func TestManyEntriesAreRecordedInOrder(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m, h := setup(t, db)
		entries := make([]contract.AuditEntry, 6_000)
		for i := range entries {
			entries[i] = contract.AuditEntry{EntityType: "normalized_event", Action: "event.queued", Actor: "gateway"}
		}
		entries[len(entries)-1].Action = "event.failed"
		require.NoError(t, record(t, db, m, entries...))
		require.NoError(t, record(t, db, m), "recording no entries is allowed")
		_, a := get(t, h, "?pageSize=1", managementKey)
		require.Equal(t, 6_000, a.Meta.Total)
		require.Equal(t, []any{"event.failed"}, actions(a))
	})
}

// sourceNames are the sources of integrations.
type sourceNames map[string]string

func (s sourceNames) SourcesOf(_ context.Context, _ *database.Tx, ids []string) (map[string]string, error) {
	found := map[string]string{}
	for _, id := range ids {
		if name := s[id]; name != "" {
			found[id] = name
		}
	}
	return found, nil
}

func TestEntriesAreFilteredByActorAndSource(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		_, h := setup(t, db)
		m := audit.New(audit.Config{}, audit.Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: clock.System, Sources: sourceNames{"0195": "acme"}})
		event := id.New()
		entry := func(action, actor, details string) contract.AuditEntry {
			return contract.AuditEntry{EntityType: "x", EntityID: &event, Action: action, Actor: actor, Details: json.RawMessage(details)}
		}
		require.NoError(t, record(t, db, m,
			contract.AuditEntry{EntityType: contract.EntityWebhookEvent, EntityID: &event, Action: "webhook.received", Actor: contract.ActorGateway, Details: json.RawMessage(`{"source":"acme"}`)},
			entry("integration.created", "management-key", `{"source":"acme"}`),
			entry("destination.created", "api-key:oncall", `{"integrationId":"0195"}`),
			entry("destination.removed", "api-key:oncall", `{"integrationId":"0196"}`),
			entry("webhook.rejected", "gateway", `{"source":"globex"}`),
			entry("webhook.rejected", "gateway", `{"source":"gl\u0000bex"}`),
			entry("odd", "gateway", `{"source":{"name":"acme"}}`)))
		for query, want := range map[string][]any{
			"?actor=api-key:oncall":                         {"destination.removed", "destination.created"},
			"?actor=management-key":                         {"integration.created"},
			"?actor=gateway":                                {"odd", "webhook.rejected", "webhook.rejected", "webhook.received"},
			"?actor=gateway&action=webhook.received":        {"webhook.received"},
			"?actor=management-key&action=webhook.received": {},
			"?actor=nobody":                                 {},
			"?source=acme":                                  {"destination.created", "integration.created"},
			"?source=acme&actor=api-key:oncall":             {"destination.created"},
			"?source=globex":                                {"webhook.rejected"},
			"?source=acme&actor=api-key:oncall&action=destination.gone": {},
		} {
			status, a := get(t, h, query, managementKey)
			require.Equal(t, 200, status, query)
			require.Equal(t, want, actions(a), query)
		}
		status, a := get(t, h, "?actor=api-key:oncall&pageSize=1&page=2", managementKey)
		require.Equal(t, 200, status)
		require.Equal(t, []any{"destination.created"}, actions(a))
	})
}

// eventsOfAcme knows one event.
type eventsOfAcme string

func (e eventsOfAcme) SourceOfEvent(_ context.Context, eventID string) (string, error) {
	if eventID == string(e) {
		return "acme", nil
	}
	return "", nil
}

// TestAKeyOfSomeSourcesSeesTheirEntries: with every filter, and all entries of an event of its
// sources, which the trail keeps without their source.
func TestAKeyOfSomeSourcesSeesTheirEntries(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		eventID, log := id.New(), slog.New(slog.DiscardHandler)
		m := audit.New(audit.Config{}, audit.Deps{DB: db, Log: log, Now: clock.System, Events: eventsOfAcme(eventID)})
		server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: log, Now: clock.System})
		m.Routes(server.Routes())
		h := testkit.Checked(t, server.Handler())
		entry := func(entityID *string, action, details string) contract.AuditEntry {
			return contract.AuditEntry{EntityType: "thing", EntityID: entityID, Action: action, Actor: "ada", Details: json.RawMessage(details)}
		}
		require.NoError(t, record(t, db, m, entry(nil, "of.acme", `{"source":"acme"}`), entry(nil, "of.globex", `{"source":"globex"}`),
			entry(nil, "of.all", `{}`), entry(&eventID, "event.looked_at", `{}`)))
		seen := func(query string, sources ...string) []any {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, "/api/v1/audit-entries"+query, nil)
			r = r.WithContext(httpapi.WithCaller(r.Context(), httpapi.Caller{Actor: "api-key:one", Role: httpapi.Viewer, Scope: &httpapi.Scope{Sources: sources}}))
			r.Header.Set(httpapi.HeaderManagementKey, "of the caller")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code, w.Body.String())
			var a answer
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
			require.Len(t, a.Data, a.Meta.Total, "the count is restricted too")
			return actions(a)
		}
		require.Equal(t, []any{"of.acme"}, seen("", "acme"))
		require.Equal(t, []any{"of.globex", "of.acme"}, seen("", "acme", "globex"))
		require.Empty(t, seen(""), "restricted to nothing")
		require.Empty(t, seen("?source=globex", "acme"))
		require.Empty(t, seen("?actor=eve", "acme"))
		require.Equal(t, []any{"of.acme"}, seen("?actor=ada&action=of.acme", "acme"))
		require.Equal(t, []any{"event.looked_at"}, seen("?entityId="+eventID, "acme"))
		require.Empty(t, seen("?entityId="+eventID, "globex"), "another's event")
	})
}
