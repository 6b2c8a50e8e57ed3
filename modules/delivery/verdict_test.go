package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
)

func TestVerdict(t *testing.T) {
	p := policy{maxAttempts: 4, base: time.Second, cap: 3 * time.Second}
	for _, c := range []struct {
		sentence string
		attempt  int
		response response
		chance   float64
		outcome  outcome
		wait     time.Duration
	}{
		{"200 is delivered", 1, response{status: 200}, 0, delivered, 0},
		{"any 2xx is delivered", 1, response{status: 299}, 0, delivered, 0},
		{"1xx is not", 1, response{status: 199}, 0, retry, time.Second},
		{"a redirect is not followed, and fails", 1, response{status: 302}, 0, retry, time.Second},
		{"the second wait is twice the first", 2, response{status: 500}, 0, retry, 2 * time.Second},
		{"a wait is capped", 3, response{status: 500}, 0, retry, 3 * time.Second},
		{"chance adds up to a fifth", 2, response{status: 500}, 0.5, retry, 2200 * time.Millisecond},
		{"no answer is tried again", 1, response{err: "refused"}, 0, retry, time.Second},
		{"the destination may ask for longer", 1, response{status: 429, retryAfter: time.Minute}, 0, retry, time.Minute},
		{"but not for shorter", 2, response{status: 429, retryAfter: time.Second}, 0, retry, 2 * time.Second},
		{"nor for longer than an hour", 1, response{status: 503, retryAfter: 25 * time.Hour}, 0, retry, time.Hour},
		{"410 ends it at once", 1, response{status: http.StatusGone}, 0, refused, 0},
		{"what can never be sent is not tried again", 1, response{err: "no body", unsent: true, hopeless: true}, 0, exhausted, 0},
		{"the last attempt exhausts the budget", 4, response{status: 500}, 0, exhausted, 0},
		{"one before does not", 3, response{status: 404}, 0, retry, 3 * time.Second},
		{"a late success still counts", 9, response{status: 204}, 0, delivered, 0},
		{"a huge attempt number does not overflow", 3, response{status: 500}, 0, retry, 3 * time.Second},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			outcome, wait := verdict(p, c.attempt, c.response, c.chance)
			require.Equal(t, c.outcome, outcome)
			require.Equal(t, c.wait, wait)
		})
	}
	_, wait := verdict(policy{maxAttempts: 1000, base: time.Second, cap: time.Hour}, 200, response{status: 500}, 0)
	require.Equal(t, time.Hour, wait, "2^199 seconds are capped, not wrapped round")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		sentence, header string
		want             time.Duration
	}{
		{"seconds", "120", 2 * time.Minute},
		{"a date", "Thu, 01 Jan 2026 12:00:30 GMT", 30 * time.Second},
		{"a date that has passed", "Thu, 01 Jan 2026 11:00:00 GMT", 0},
		{"a negative number", "-5", 0},
		{"nothing", "", 0},
		{"a word", "soon", 0},
		{"too many digits", "99999999999999999999", 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			require.Equal(t, c.want, retryAfter(http.Header{"Retry-After": {c.header}}, now))
		})
	}
}

// The vector of the Standard Webhooks specification.
func TestSignIsStandardWebhooks(t *testing.T) {
	at := time.Unix(1614265330, 0)
	text := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	body := []byte(`{"test": 2432232314}`)
	want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	require.Equal(t, want, standardwebhooks.Sign([]secret.Value{secret.New(text)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body))
	both := standardwebhooks.Sign([]secret.Value{secret.New("whsec_bmV3"), secret.New(text)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	require.Contains(t, both, " "+want, "while a secret is rotated, both sign")
}

func TestDerive(t *testing.T) {
	j := func(s status, trigger contract.Trigger) latest { return latest{Status: s, Trigger: trigger} }
	for _, c := range []struct {
		sentence string
		jobs     []latest
		want     contract.EventStatus
	}{
		{"nobody to deliver to is processed", nil, contract.EventProcessed},
		{"a first job that waits is pending", []latest{j(queued, contract.TriggerWebhook)}, contract.EventPending},
		{"so is a replay that waits", []latest{j(queued, contract.TriggerReplay)}, contract.EventPending},
		{"one that runs is processing", []latest{j(failed, ""), j(running, "")}, contract.EventProcessing},
		{"one that waits for another try is retrying", []latest{j(succeeded, ""), j(queued, contract.TriggerRetry)}, contract.EventRetrying},
		{"running comes before retrying", []latest{j(running, ""), j(queued, contract.TriggerRetry)}, contract.EventProcessing},
		{"all received is processed", []latest{j(succeeded, ""), j(succeeded, "")}, contract.EventProcessed},
		{"none open and one failed is failed", []latest{j(succeeded, ""), j(failed, "")}, contract.EventFailed},
		{"one failed and one open is not at its end", []latest{j(failed, ""), j(queued, contract.TriggerWebhook)}, contract.EventPending},
	} {
		t.Run(c.sentence, func(t *testing.T) { require.Equal(t, c.want, derive(c.jobs)) })
	}
}

func TestStorableText(t *testing.T) {
	for _, c := range []struct{ sentence, in, want string }{
		{"plain text stays", "ok", "ok"},
		{"NUL is replaced", "a\x00b", "a\uFFFDb"},
		{"broken UTF-8 is replaced", "a\xffb", "a\uFFFDb"},
		{"it is cut at the limit", "12345678901", "1234567890"},
		{"but not inside a character", "123456789ü", "123456789"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got := destination.Storable([]byte(c.in), 10)
			require.Equal(t, c.want, got)
		})
	}
}
