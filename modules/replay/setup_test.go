package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/replay"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

const managementKey = "a-management-key"

// world is the module and what stands around it: one event, and neighbours that
// remember what they were told.
type world struct {
	*replay.Module
	db      *database.DB
	handler http.Handler

	eventID, integrationID string
	dispatched             []contract.ReplayOrder
	dispatchErr            error
	entries                []contract.AuditEntry
	auditErr               error
}

func setup(db *database.DB) *world {
	w := &world{db: db, eventID: id.New(), integrationID: id.New()}
	w.Module = replay.New(replay.Deps{DB: db, Events: w, Scheduler: w, Audit: w})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)},
		httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	w.Routes(server.Routes())
	w.handler = server.Handler()
	return w
}

func (w *world) Integration(_ context.Context, _ *database.Tx, eventID string) (string, string, error) {
	if eventID != w.eventID {
		return "", "", fault.NotFound.New("event_not_found", "There is no event %s.", eventID)
	}
	return w.integrationID, "a-correlation", nil
}

func (w *world) Dispatch(_ context.Context, _ *database.Tx, o contract.ReplayOrder, integrationID, correlationID string) error {
	if integrationID != w.integrationID || correlationID != "a-correlation" {
		return fault.Internal.New("test", "dispatched for another event: %s, %s", integrationID, correlationID)
	}
	w.dispatched = append(w.dispatched, o)
	return w.dispatchErr
}

func (w *world) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	w.entries = append(w.entries, entries...)
	return w.auditErr
}

// actions gives what was audited since the last call.
func (w *world) actions() []string {
	actions := []string{}
	for _, e := range w.entries {
		actions = append(actions, e.Action)
	}
	w.entries = nil
	return actions
}

func (w *world) inTx(t *testing.T, fn func(ctx context.Context, tx *database.Tx) error) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, w.db.InTx(ctx, func(tx *database.Tx) error { return fn(ctx, tx) }))
}

// request asks for a replay of the event through the API and gives the request's id.
func (w *world) request(t *testing.T) string {
	t.Helper()
	status, a := w.call(t, http.MethodPost, "/events/"+w.eventID+"/replay", `{"reason":"because"}`)
	require.Equal(t, http.StatusAccepted, status, a)
	return a.object(t)["replayRequestId"].(string)
}

func (w *world) show(t *testing.T, requestID string) map[string]any {
	t.Helper()
	status, a := w.call(t, http.MethodGet, "/replay-requests/"+requestID, "")
	require.Equal(t, http.StatusOK, status)
	return a.object(t)
}

type answer struct {
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Meta    struct {
		Page       *int    `json:"page"`
		Total      int     `json:"total"`
		TotalPages int     `json:"totalPages"`
		NextCursor *string `json:"nextCursor"`
	} `json:"meta"`
	Error struct {
		Code    string        `json:"code"`
		Message string        `json:"message"`
		Details []fault.Field `json:"details"`
	} `json:"error"`
}

func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, json.Unmarshal(a.Data, &o))
	return o
}

// ids gives the ids of a list.
func (a answer) ids(t *testing.T) []string {
	t.Helper()
	var items []struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(a.Data, &items))
	ids := []string{}
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	return ids
}

// fields gives the names of the fields that are wrong.
func (a answer) fields() []string {
	fields := []string{}
	for _, f := range a.Error.Details {
		fields = append(fields, f.Field)
	}
	return fields
}

func (w *world) call(t *testing.T, method, path, body string) (int, answer) {
	t.Helper()
	return w.callAs(t, managementKey, method, path, body)
}

func (w *world) callAs(t *testing.T, key, method, path, body string) (int, answer) {
	t.Helper()
	r := httptest.NewRequest(method, httpapi.Base+path, bytes.NewBufferString(body))
	r.Header.Set("content-type", "application/json")
	if key != "" {
		r.Header.Set(httpapi.HeaderManagementKey, key)
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	var a answer
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &a), recorder.Body.String())
	return recorder.Code, a
}
