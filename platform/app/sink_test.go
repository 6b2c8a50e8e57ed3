package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

func sinkHandler(t *testing.T) http.Handler {
	server := httpapi.New(httpapi.Config{}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
	newSink().Routes(server.Routes())
	return testkit.Checked(t, server.Handler())
}

func deliver(h http.Handler, body, event string) int {
	req := httptest.NewRequest(http.MethodPost, "/api/v1/internal/delivery-sink/acme", strings.NewReader(body))
	req.Header.Set("Webhook-Id", event)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, req)
	return answer.Code
}

func TestSink(t *testing.T) {
	for _, c := range []struct {
		sentence, body string
		want           []int // of repeated deliveries
	}{
		{"an event is accepted", `{"data":{"id":"1"}}`, []int{202}},
		{"a failure can be requested at the top level", `{"simulateFailure":true}`, []int{500, 500}},
		{"or in the data", `{"data":{"simulateFailure":true}}`, []int{500, 500}},
		{"but not with another value", `{"simulateFailure":"true","data":{"simulateFailure":1}}`, []int{202}},
		{"nor below data", `{"data":{"order":{"simulateFailure":true}}}`, []int{202}},
		{"once fails only the first time", `{"data":{"simulateFailure":"once"}}`, []int{500, 202}},
		{"data may be anything", `{"data":[1,2]}`, []int{202}},
		{"and so may the body", `not json`, []int{202}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			h := sinkHandler(t)
			for _, want := range c.want {
				require.Equal(t, want, deliver(h, c.body, "e1"))
			}
		})
	}
	h := sinkHandler(t)
	require.Equal(t, 500, deliver(h, `{"simulateFailure":"once"}`, "e1"))
	require.Equal(t, 500, deliver(h, `{"simulateFailure":"once"}`, "e2"), "once is counted per event")
}
