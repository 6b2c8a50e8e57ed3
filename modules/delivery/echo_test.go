package delivery

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/testkit"
)

// A destination that answers errors with the request it was sent put the credentials of its
// operator before every viewer.
func TestAnEchoOfTheRequestHoldsNoCredential(t *testing.T) {
	for name, auth := range map[string]string{
		"basic":  `{"type":"basic","username":"gateway","password":"hunter2/+&basic"}`,
		"bearer": `{"type":"bearer","token":"hunter2/+&bearer"}`,
		"oauth2": `{"type":"oauth2","tokenUrl":"%s","clientId":"a","clientSecret":"hunter2/+&client"}`,
		"none":   `{"type":"none"}`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
			log := &testkit.Log{}
			h.log = slog.New(slog.NewTextHandler(log, nil))
			e := newTokenEndpoint(t)
			h.receiver.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				for _, write := range testkit.Encodings {
					for key := range r.Header {
						if !strings.HasPrefix(key, "Webhook-") && !strings.HasPrefix(key, "X-Event") && !strings.HasPrefix(key, "X-Corr") {
							_, _ = io.WriteString(w, key+": "+write(r.Header.Get(key))+"\n")
						}
					}
				}
			})
			auth = strings.Replace(auth, "%s", e.URL, 1)
			made := h.add(config(t, `{"url":"`+h.receiver.URL+`","headers":{"X-Key":"hunter2/+&header"},"auth":`+auth+`,"policy":{"maxAttempts":1}}`))
			h.run()
			event := h.accept()
			state := h.becomes(event, contract.EventFailed)
			attempts, _ := h.history(event)
			require.Len(t, attempts, 1)
			require.Contains(t, *attempts[0].ResponseBody, "X-Key: [redacted]")
			seen := []string{*attempts[0].ResponseBody, *attempts[0].ErrorMessage, *state.LastError, log.String()}
			h.audit.mu.Lock()
			for _, entry := range h.audit.entries {
				seen = append(seen, string(entry.Details))
			}
			h.audit.mu.Unlock()
			secrets := []string{"hunter2/+&header", "hunter2/+&basic", "hunter2/+&bearer", "hunter2/+&client", "gateway:hunter2/+&basic", made.SigningSecret}
			if name == "oauth2" {
				secrets = append(secrets, "Bearer t1")
			}
			for _, text := range secrets {
				for way, write := range testkit.Encodings {
					core := strings.TrimRight(write(text), "=")
					core = core[min(4, len(core)/4) : len(core)-min(5, len(core)/4)] // the bits beside it are the neighbours' too
					for _, s := range seen {
						require.NotContains(t, s, core, "%s of %s", way, text)
					}
				}
			}
		})
	}
}

func TestAnAnswerThatIsNoneShowsNoCredential(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	h.receiver.answers(func(_ int, w http.ResponseWriter, r *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 "+r.Header.Get("Authorization")+"\r\n\r\n")
			_ = conn.Close()
		}
	})
	h.add(config(t, `{"url":"`+h.receiver.URL+`","auth":{"type":"bearer","token":"hunter2-in-a-status"},"policy":{"maxAttempts":1}}`))
	h.run()
	event := h.accept()
	h.becomes(event, contract.EventFailed)
	attempts, _ := h.history(event)
	require.Equal(t, to("protocol"), attempts[0].ErrorKind)
	require.Contains(t, *attempts[0].ErrorMessage, "malformed HTTP")
	require.NotContains(t, *attempts[0].ErrorMessage, "hunter2")
}
