// Package console tries the operator's console in a real browser: the journey of each screen,
// what a hostile sender can put on it, and how it looks and reads.
package console

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/test/rig"
)

const (
	managementKey = "console-test-management-key-4f1a"
	patience      = 30 * time.Second
)

// scratch contains the program; TestMain removes it.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "gateway-console-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// build builds the program, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "gateway")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// gateway is `gateway dev` with a receiver of its deliveries.
type gateway struct {
	t        *testing.T
	base     string
	receiver *httptest.Server
	log      string // the file with its output

	mu      sync.Mutex
	failing map[string]bool // paths of the receiver that answer 500
	ids     map[string]string
}

func start(t *testing.T, settings ...string) *gateway {
	t.Helper()
	return startDev(t, nil, settings...)
}

// startDemo starts the demo that goes on, and waits until it has filled the gateway.
func startDemo(t *testing.T) *gateway {
	t.Helper()
	g := startDev(t, []string{"--demo", "--keep"})
	g.until("the demo is filled", func() bool {
		text, err := os.ReadFile(g.log)
		return err == nil && strings.Contains(string(text), "Sign in ")
	})
	return g
}

func startDev(t *testing.T, flags []string, settings ...string) *gateway {
	t.Helper()
	program, err := build()
	require.NoError(t, err)
	g := &gateway{t: t, failing: map[string]bool{}, ids: map[string]string{}}
	g.receiver = httptest.NewServer(http.HandlerFunc(g.receive))
	t.Cleanup(g.receiver.Close)
	port := rig.FreePort(0)
	g.base = fmt.Sprintf("http://localhost:%d", port)
	dir := t.TempDir()
	env := append([]string{"APP_ENV=test", "MANAGEMENT_API_KEY=" + managementKey, "MAX_PROCESSING_RETRIES=3", "RETRY_BASE_DELAY_MS=150", "LOG_LEVEL=info"}, settings...)
	p, err := rig.Launch(dir, "dev", program, env, append([]string{"dev", "--port", strconv.Itoa(port), "--data", filepath.Join(dir, "data")}, flags...)...)
	require.NoError(t, err)
	g.log = filepath.Join(dir, "dev.log")
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Log(err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(g.log)
			t.Logf("its output ends with:\n%s", text[max(0, len(text)-4000):])
		}
	})
	require.NoError(t, p.Ready(t.Context(), g.base+"/readyz"))
	return g
}

// receive takes a delivery.
func (g *gateway) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	fails := g.failing[r.URL.Path]
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if fails {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"error":"the order service cannot reach its database","retry":true}`)
		return
	}
	w.WriteHeader(http.StatusOK)
	if r.URL.Path == "/x" { // a hostile destination
		_, _ = w.Write(body)
		return
	}
	_, _ = fmt.Fprintf(w, `{"stored":true,"bytes":%d}`, len(body))
}

// fail lets a path of the receiver answer 500, or no more.
func (g *gateway) fail(path string, fails bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failing[path] = fails
}

// call uses the API with the management key.
func (g *gateway) call(method, path string, body, out any) int {
	g.t.Helper()
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body)
	}
	status, answer := g.request(method, "/api/v1"+path, text, map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"})
	if out != nil {
		envelope := struct {
			Data any `json:"data"`
		}{out}
		require.NoError(g.t, json.Unmarshal(answer, &envelope), "%s", answer)
	}
	return status
}

func (g *gateway) request(method, path string, body []byte, header map[string]string) (int, []byte) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, g.base+path, bytes.NewReader(body))
	require.NoError(g.t, err)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(g.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(g.t, err)
	return res.StatusCode, text
}

// source makes an integration of the provider acme with destinations at these paths of the
// receiver.
func (g *gateway) source(name, title string, paths ...string) {
	g.t.Helper()
	var destinations []map[string]any
	for _, path := range paths {
		destinations = append(destinations, map[string]any{"url": g.receiver.URL + path})
	}
	var made struct {
		ID string `json:"id"`
	}
	require.Equal(g.t, http.StatusCreated, g.call(http.MethodPost, "/integrations", map[string]any{"source": name, "provider": "acme", "name": title,
		"secrets": []string{secretOf(name)}, "destinations": destinations}, &made))
	g.ids[name] = made.ID
}

func secretOf(source string) string { return "secret-of-" + source }

// webhook is what a provider sends.
type webhook struct {
	ID, Type, Subject string
	Data              map[string]any
	Correlation       string
	Forged            bool
	Header            map[string]string
}

// send sends a webhook and returns the event's id; "" if it was refused.
func (g *gateway) send(source string, w webhook) string {
	g.t.Helper()
	body := map[string]any{"eventId": w.ID, "eventType": w.Type, "occurredAt": time.Now().UTC().Format(time.RFC3339Nano), "data": w.Data}
	if w.Data == nil {
		body["data"] = map[string]any{"id": w.Subject}
	}
	if w.Subject != "" {
		body["subject"] = w.Subject
	}
	text, err := json.Marshal(body)
	require.NoError(g.t, err)
	key := secretOf(source)
	if w.Forged {
		key = "another secret"
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(text)
	header := map[string]string{"Content-Type": "application/json", "X-Acme-Signature": hex.EncodeToString(mac.Sum(nil))}
	if w.Correlation != "" {
		header["X-Correlation-Id"] = w.Correlation
	}
	for name, value := range w.Header {
		header[name] = value
	}
	status, answer := g.request(http.MethodPost, "/api/v1/webhooks/"+source, text, header)
	var said struct {
		Data struct {
			EventID string `json:"eventId"`
		} `json:"data"`
	}
	_ = json.Unmarshal(answer, &said)
	if w.Forged {
		require.Equal(g.t, http.StatusUnauthorized, status)
		return ""
	}
	require.Equal(g.t, http.StatusAccepted, status, "%s", answer)
	return said.Data.EventID
}

// ends waits until an event has a status.
func (g *gateway) ends(eventID, status string) {
	g.t.Helper()
	g.until("event "+eventID+" is "+status, func() bool {
		var e struct {
			Status string `json:"status"`
		}
		g.call(http.MethodGet, "/events/"+eventID+"/status", nil, &e)
		return e.Status == status
	})
}

func (g *gateway) until(what string, holds func() bool) {
	g.t.Helper()
	require.Eventually(g.t, holds, patience, 50*time.Millisecond, what)
}

// patiently is until, for what takes minutes.
func (g *gateway) patiently(what string, holds func() bool) {
	g.t.Helper()
	require.Eventually(g.t, holds, 10*patience, time.Second, what)
}

// link returns the address that `gateway dev` printed for signing in once.
func (g *gateway) link() string {
	g.t.Helper()
	text, err := os.ReadFile(g.log)
	require.NoError(g.t, err)
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "Console "); found {
			return strings.Replace(strings.Fields(rest)[0], "127.0.0.1", "localhost", 1)
		}
	}
	require.Fail(g.t, "no link was printed")
	return ""
}

func escaped(text string) string { return url.QueryEscape(text) }
