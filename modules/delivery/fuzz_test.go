package delivery

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

// FuzzRetryAfter: what a destination answers never moves an attempt into the past, nor
// further than the policy lets it.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for _, value := range []string{"", "0", "120", "-1", "2147483648", "99999999999999999999", "1.5", "Mon, 05 Jan 2026 09:01:00 GMT", "Mon, 01 Jan 9999 00:00:00 GMT", "Monday, 05-Jan-26 09:01:00 GMT", "Mon Jan  5 09:01:00 2026", "soon"} {
		f.Add(value, http.StatusServiceUnavailable, 1)
	}
	p := policy{maxAttempts: 5, base: time.Second, cap: time.Minute}
	f.Fuzz(func(t *testing.T, value string, status, attempt int) {
		after := retryAfter(http.Header{"Retry-After": {value}}, now)
		require.GreaterOrEqual(t, after, time.Duration(0))
		_, wait := verdict(p, max(attempt, 1), response{status: status, retryAfter: after}, 0.5)
		require.True(t, wait >= 0 && wait <= time.Hour, "%s", wait)
	})
}

// FuzzMessage: a message of the broker names jobs, or nobody acts on it.
func FuzzMessage(f *testing.F) {
	good, err := json.Marshal(message{Version: 1, Jobs: []ref{{JobRef: contract.JobRef{EventID: id.New(), JobID: id.New()}, Destination: id.New()}}})
	require.NoError(f, err)
	f.Add(good)
	for _, body := range []string{"", "{}", "null", "[]", `{"v":1}`, `{"v":1,"jobs":[]}`, `{"v":1,"jobs":[{}]}`, `{"v":2}`, `{"v":1,"jobs":[{"e":"x","j":"y","d":"z"}]}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		jobs, err := parse(body)
		if err != nil {
			require.Empty(t, jobs)
			return
		}
		require.NotEmpty(t, jobs)
		for _, j := range jobs {
			require.True(t, id.Valid(j.EventID) && id.Valid(j.JobID) && (j.Destination == "" || id.Valid(j.Destination)))
		}
	})
}
