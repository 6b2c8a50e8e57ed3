package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/replay"
	"integration-gateway/modules/replay/bulk"
	"integration-gateway/modules/replay/oneoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const managementKey = "a-management-key"

// fixture is the module and its environment: one event, and neighbours that record their
// calls.
type fixture struct {
	*replay.Module
	bulk.Events     // unused here
	bulk.Deliveries // unused here

	db      *database.DB
	handler http.Handler

	eventID, integrationID string
	dispatched             []contract.ReplayOrder
	dispatchErr            error
	sent                   []contract.SendOnce
	entries                []contract.AuditEntry
	auditErr               error
}

func setup(t testing.TB, db *database.DB) *fixture {
	f := &fixture{db: db, eventID: id.New(), integrationID: id.New()}
	f.Module = replay.New(replay.Config{OneOff: oneoff.Config{Look: time.Millisecond}}, replay.Deps{DB: db, Log: slog.New(slog.DiscardHandler),
		Now: clock.System, Events: f, Scheduler: f, Sealer: sealed{}, Audit: f})
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)},
		httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	f.Routes(server.Routes())
	f.handler = testkit.Checked(t, server.Handler())
	return f
}

func (f *fixture) Integration(_ context.Context, _ *database.Tx, eventID string) (string, error) {
	if eventID != f.eventID {
		return "", fault.NotFound.New("event_not_found", "There is no event %s.", eventID)
	}
	return f.integrationID, nil
}

func (f *fixture) Dispatch(_ context.Context, _ *database.Tx, o contract.ReplayOrder, integrationID string) error {
	if integrationID != f.integrationID {
		return fault.Internal.New("test", "dispatched for another event: %s", integrationID)
	}
	f.dispatched = append(f.dispatched, o)
	return f.dispatchErr
}

func (f *fixture) DispatchAll(_ context.Context, _ *database.Tx, orders []contract.ReplayOrder) error {
	f.dispatched = append(f.dispatched, orders...)
	return f.dispatchErr
}

// CheckURL refuses what is no URL.
func (f *fixture) CheckURL(field, url string) []fault.Field {
	if strings.HasPrefix(url, "https://") {
		return nil
	}
	return []fault.Field{{Field: field, Message: "must be a URL"}}
}

func (f *fixture) SendOnce(_ context.Context, s contract.SendOnce) (contract.SentOnce, error) {
	f.sent = append(f.sent, s)
	return contract.SentOnce{Received: true, Status: http.StatusOK}, nil
}

// sealed stands for encryption: what it seals opens in its place alone.
type sealed struct{}

func (sealed) Seal(at secret.Place, value secret.Value) (string, error) {
	return at.String() + "|" + value.Reveal(), nil
}

func (sealed) Open(at secret.Place, stored string) (secret.Value, error) {
	text, ok := strings.CutPrefix(stored, at.String()+"|")
	if !ok {
		return secret.Value{}, errors.New("sealed for another place")
	}
	return secret.New(text), nil
}

func (f *fixture) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	f.entries = append(f.entries, entries...)
	return f.auditErr
}

// actions returns the actions audited since the last call.
func (f *fixture) actions() []string {
	actions := []string{}
	for _, e := range f.entries {
		actions = append(actions, e.Action)
	}
	f.entries = nil
	return actions
}

func (f *fixture) inTx(t *testing.T, fn func(ctx context.Context, tx *database.Tx) error) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, f.db.InTx(ctx, func(tx *database.Tx) error { return fn(ctx, tx) }))
}

// request requests a replay of the event through the API and returns the request's id.
func (f *fixture) request(t *testing.T) string {
	t.Helper()
	status, a := f.call(t, http.MethodPost, "/events/"+f.eventID+"/replay", `{"reason":"because"}`)
	require.Equal(t, http.StatusAccepted, status, a)
	return a.object(t)["replayRequestId"].(string)
}

func (f *fixture) show(t *testing.T, requestID string) map[string]any {
	t.Helper()
	status, a := f.call(t, http.MethodGet, "/replay-requests/"+requestID, "")
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

// ids returns the ids of a list.
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

// fields returns the names of the invalid fields.
func (a answer) fields() []string {
	fields := []string{}
	for _, f := range a.Error.Details {
		fields = append(fields, f.Field)
	}
	return fields
}

func (f *fixture) call(t *testing.T, method, path, body string) (int, answer) {
	t.Helper()
	return f.callAs(t, managementKey, method, path, body)
}

func (f *fixture) callAs(t *testing.T, key, method, path, body string) (int, answer) {
	t.Helper()
	r := httptest.NewRequest(method, httpapi.Base+path, bytes.NewBufferString(body))
	r.Header.Set("content-type", "application/json")
	if key != "" {
		r.Header.Set(httpapi.HeaderManagementKey, key)
	}
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, r)
	var a answer
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &a), recorder.Body.String())
	return recorder.Code, a
}
