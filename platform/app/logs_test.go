package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/telemetry"
	"integration-gateway/platform/testkit"
)

// hostileTexts could end a line, begin another, command a terminal or hide what is written.
var hostileTexts = []string{"x\nlevel=ERROR msg=forged", "x\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}", "x\x1b[2Jforged", "x\u009b2Jforged", "x\u0085forged",
	"x\u2028forged", "x\u2029forged", "x\u202eforged", "x\x7f\x01\bforged", "x\xff\xfeforged", `x" msg=forged`}

// TestNobodyForgesALogLine runs the whole program between senders and receivers that put hostile
// text wherever it takes text, and reads its log in both formats.
func TestNobodyForgesALogLine(t *testing.T) {
	for _, asJSON := range []bool{true, false} {
		t.Run(fmt.Sprintf("json=%v", asJSON), func(t *testing.T) {
			out := &testkit.Log{}
			cfg := devConfig(t, "MAX_PROCESSING_RETRIES", "1", "TRUSTED_PROXIES", "127.0.0.0/8", "BREAKER_MIN_ATTEMPTS", "10000")
			gateway, api := startDevLogging(t, cfg, telemetry.NewLogger(out, slog.LevelDebug, asJSON), DevOptions{DataDir: t.TempDir()})
			accepted := sendHostile(t, api)
			require.Greater(t, accepted, len(hostileTexts))
			require.Eventually(t, func() bool { return strings.Count(out.String(), "not delivered") >= accepted }, time.Minute, 20*time.Millisecond)
			gateway.stop()
			require.NoError(t, <-gateway.ended)
			requireWholeLines(t, out.String(), asJSON)
			if asJSON {
				requireTheWay(t, out.String())
			}
		})
	}
}

// sendHostile puts the hostile texts wherever a sender or a receiver can, and returns the number
// of webhooks that were accepted.
func sendHostile(t *testing.T, api string) (accepted int) {
	t.Helper()
	for source, target := range map[string]string{"redirects": redirectingReceiver(t), "malformed": malformedReceiver(t)} {
		made, err := json.Marshal(map[string]any{"source": source, "provider": "acme", "secrets": []any{map[string]any{"value": acme.secret}}, "destinations": []any{map[string]any{"url": target}}})
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, postRaw(t, api, "/integrations", [][2]string{{"X-Internal-Api-Key", config.DemoKey}}, made))
	}
	for _, text := range hostileTexts {
		for _, source := range []string{"redirects", "malformed"} {
			body, err := json.Marshal(map[string]any{"eventId": text, "eventType": "t" + text, "occurredAt": "2026-01-31T12:00:00Z", "subject": text, "data": map[string]any{text: text}})
			require.NoError(t, err)
			for _, credential := range []string{acme.credential(body), text} {
				if postRaw(t, api, "/webhooks/"+source, [][2]string{{acme.header, credential}, {"X-Correlation-Id", text}}, body) == http.StatusAccepted {
					accepted++
				}
			}
		}
		postRaw(t, api, "/webhooks/"+url.PathEscape(text), nil, []byte("{}"))
		postRaw(t, api, "/webhooks/"+text, nil, []byte(text))
		postRaw(t, api, "/events?source="+url.QueryEscape(text), [][2]string{{"X-Internal-Api-Key", config.DemoKey}}, nil)
		for _, header := range []string{"X-Correlation-Id", "X-Request-Id", "User-Agent", "X-Forwarded-For", "X-Internal-Api-Key", "Authorization", "Content-Type", "Content-Encoding", "Host"} {
			postRaw(t, api, "/webhooks/acme", [][2]string{{header, text}}, []byte(`{"`+text+`":1}`))
			postRaw(t, api, "/integrations", [][2]string{{"X-Internal-Api-Key", config.DemoKey}, {header, text}}, []byte(`{"`+text+`":1}`))
		}
	}
	return accepted
}

// redirectingReceiver answers with a redirect to what it is sent.
func redirectingReceiver(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "http://127.0.0.1/"+string(body))
		w.WriteHeader(http.StatusFound)
		_, _ = w.Write([]byte(strings.Join(hostileTexts, " ")))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// malformedReceiver answers with a line that is not HTTP, which errors quote.
func malformedReceiver(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c))
			line, _, _ := strings.Cut(hostileTexts[n%len(hostileTexts)], "\n")
			_, _ = io.WriteString(c, []string{"HTTP/9 ", "HTTP/1.1 200 OK\r\nTransfer-Encoding: ", "HTTP/1.1 200 OK\r\n"}[n%3]+line+"\x1b[2J\u2028forged\r\n\r\n")
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// postRaw sends a request as it is, whatever its texts hold, and returns the answer's status; 0
// if there is none.
func postRaw(t *testing.T, api, path string, headers [][2]string, body []byte) (status int) {
	t.Helper()
	u, err := url.Parse(api)
	require.NoError(t, err)
	c, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	var r bytes.Buffer
	fmt.Fprintf(&r, "%s %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n", method, u.Path, path, u.Host, len(body))
	headers = append([][2]string{{"Content-Type", "application/json"}}, headers...)
	for _, h := range headers {
		fmt.Fprintf(&r, "%s: %s\r\n", h[0], h[1])
	}
	r.WriteString("\r\n")
	_, _ = c.Write(append(r.Bytes(), body...))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode
}

// aTextLine is a line of key=value pairs, each value quoted if it needs to be.
var aTextLine = regexp.MustCompile(`^time=\S+ level=(DEBUG|INFO|WARN|ERROR) msg=("(\\.|[^"\\])*"|[^\s"]+)( [^\s="]+=("(\\.|[^"\\])*"|[^\s"]*))*$`)

// requireWholeLines fails if a line is not one record of ours.
func requireWholeLines(t *testing.T, log string, asJSON bool) {
	t.Helper()
	require.True(t, utf8.ValidString(log))
	require.Contains(t, log, "forged", "the test reaches the log")
	for line := range strings.SplitSeq(strings.TrimSuffix(log, "\n"), "\n") {
		for _, r := range line {
			require.False(t, unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control), "%q has %q", line, r)
		}
		if !asJSON {
			require.Regexp(t, aTextLine, line)
			continue
		}
		var fields struct{ Time, Level, Msg string }
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		require.NotEmpty(t, fields.Time, line)
		require.NotEqual(t, "forged", fields.Msg, line)
	}
}

// requireTheWay fails if a line about a webhook or an attempt lacks what finds it.
func requireTheWay(t *testing.T, log string) {
	t.Helper()
	seen := map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSuffix(log, "\n"), "\n") {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		var needed []string
		what := fmt.Sprint(fields["msg"])
		switch {
		case what == "not delivered":
			needed = []string{"source", "event_id", "destination_id", "attempt", "correlation_id", "error"}
		case what == "request" && fields["route"] == "/api/v1/webhooks/:source" && fields["status"] == 202.0:
			what, needed = "accepted", []string{"source", "event_id", "correlation_id"}
		case what == "request" && fields["route"] == "/api/v1/webhooks/:source" && fields["status"] == 401.0:
			what, needed = "refused", []string{"source", "reason", "correlation_id"}
		}
		for _, name := range needed {
			require.Contains(t, fields, name, line)
		}
		seen[what]++
	}
	for _, what := range []string{"accepted", "refused", "not delivered", "more requests were refused within a second"} {
		require.Positive(t, seen[what], what)
	}
}
