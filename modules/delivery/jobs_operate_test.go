package delivery

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// api serves the module's routes and makes requests with the management key.
func (h *harness) api() func(method, path, body string) (int, map[string]any) {
	return h.apiAs("a-management-key")
}

func (h *harness) apiAs(key string) func(method, path, body string) (int, map[string]any) {
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New("a-management-key")},
		httpapi.Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: clock.System, AuthFailed: func(string, string) {}})
	h.Routes(server.Routes())
	return func(method, path, body string) (int, map[string]any) {
		req := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
		req.Header.Set("x-internal-api-key", key)
		if body != "" {
			req.Header.Set("content-type", "application/json")
		}
		w := httptest.NewRecorder()
		testkit.Checked(h.t, server.Handler()).ServeHTTP(w, req)
		var answer map[string]any
		require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &answer), w.Body.String())
		return w.Code, answer
	}
}

func TestAnOperatorEndsOrHastensWhatWaits(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{RetryBase: time.Hour})
		h.destination(h.receiver.URL)
		h.receiver.answers(status500)
		call := h.api()
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventRetrying)

		code, answer := call(http.MethodPost, "/events/"+eventID+"/retry", "")
		require.Equal(t, 202, code, answer)
		h.eventually("the second attempt", func() bool { return h.state(eventID).ProcessingAttempts == 2 })

		code, answer = call(http.MethodPost, "/events/"+eventID+"/cancel", `{"reason":"the order was a test"}`)
		require.Equal(t, 202, code, answer)
		state := h.state(eventID)
		require.Equal(t, contract.EventFailed, state.Status)
		require.Equal(t, "cancelled by management-key: the order was a test", *state.LastError)
		actions := h.audit.actions(eventID)
		require.Contains(t, actions, "event.retry_requested")
		require.Equal(t, "event.cancelled", actions[len(actions)-1])

		for _, c := range []struct {
			sentence, path, body string
			want                 int
		}{
			{"nothing waits any more", "/events/" + eventID + "/cancel", "", 409},
			{"nor can it be hastened", "/events/" + eventID + "/retry", "", 409},
			{"an unknown event", "/events/" + id.New() + "/cancel", "", 404},
			{"an id that is none", "/events/xyz/retry", "", 400},
			{"a body that is none", "/events/" + eventID + "/cancel", "{", 400},
		} {
			code, answer := call(http.MethodPost, c.path, c.body)
			require.Equal(t, c.want, code, "%s: %v", c.sentence, answer)
		}
		code, answer = call(http.MethodGet, "/deliveries?status=failed&eventId="+eventID, "")
		require.Equal(t, 200, code)
		require.Len(t, answer["data"], 2)
		for query, want := range map[string]int{"errorKind=http_status": 2, "errorKind=egress_refused": 0, "errorKind=http_status&status=success": 0} {
			code, answer = call(http.MethodGet, "/deliveries?eventId="+eventID+"&"+query, "")
			require.Equal(t, 200, code)
			require.Len(t, answer["data"], want, query)
		}
		code, _ = call(http.MethodGet, "/deliveries?errorKind=bad", "")
		require.Equal(t, 400, code)
		code, _ = call(http.MethodGet, "/deliveries?status=lost&eventId=x&destinationId=y&page=0", "")
		require.Equal(t, 400, code)
	})
}
