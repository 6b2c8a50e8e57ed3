package testkit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatBreaksTheDescriptionIsFound holds that the comparison can fail.
func TestWhatBreaksTheDescriptionIsFound(t *testing.T) {
	const good = `{"success":true,"data":{"replayRequestId":"01a20d22-db73-7746-80ee-682257367d61","eventId":"01a20d22-776d-7693-b3eb-b9fe0a44c93d"},"meta":null}`
	const replay = "/api/v1/events/01a20d22-776d-7693-b3eb-b9fe0a44c93d/replay"
	for _, c := range []struct {
		name, path, body string
		status           int
		text, says       string // "" when both agree
	}{
		{"as described", replay, `{"reason":"it was down"}`, 202, good, ""},
		{"a request without its reason", replay, `{}`, 202, good, "reason"},
		{"a request with an unknown field", replay, `{"reason":"it was down","ticket":1}`, 202, good, "ticket"},
		{"a request that was refused", replay, `{}`, 400, `{"success":false,"error":{"code":"VALIDATION_ERROR","message":"reason is required.","details":[{"field":"reason","message":"is required"}]}}`, ""},
		{"a refusal of another form", replay, `{}`, 400, `{"success":false,"error":"no"}`, "error"},
		{"a refusal with an unknown code", replay, `{}`, 400, `{"success":false,"error":{"code":"NO","message":"No.","details":null}}`, "code"},
		{"an answer without a field", replay, `{"reason":"it was down"}`, 202, strings.Replace(good, `"eventId"`, `"event"`, 1), "eventId"},
		{"an answer with one more field", replay, `{"reason":"it was down"}`, 202, strings.Replace(good, `"data":{`, `"data":{"extra":1,`, 1), "extra"},
		{"an answer that is no id", replay, `{"reason":"it was down"}`, 202, strings.Replace(good, "01a20d22-db73", "x", 1), "uuid"},
		{"another status", replay, `{"reason":"it was down"}`, 200, good, "200"},
		{"a path that is not described", "/api/v1/secrets", `{}`, 200, good, "not found"},
		{"a path that there is not", "/api/v1/nothing", `{}`, 404, `{"success":false,"error":{"code":"NOT_FOUND","message":"There is no such route.","details":null}}`, ""},
		{"a path of something else", "/", `{}`, 200, `ok`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Internal-Api-Key", "any")
			err := Agrees(r, []byte(c.body), c.status, http.Header{"Content-Type": {"application/json"}}, []byte(c.text))
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}
