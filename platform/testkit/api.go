package testkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"integration-gateway/platform/testkit/described"
)

// Document is the API's description, below the root of the repository.
const Document = "docs/openapi.json"

// checked counts what was compared with the description.
var checked struct{ requests, answers atomic.Int64 }

// ReportChecked runs a package's tests and prints how many requests and answers were compared
// with the API's description. It is called by TestMain.
func ReportChecked(m *testing.M) int {
	code := m.Run()
	_, _ = fmt.Printf("%d requests and %d answers agree with %s\n", checked.requests.Load(), checked.answers.Load(), Document)
	return code
}

// description is the committed document, read once. Its answers may have no fields that the
// document does not name.
var description = sync.OnceValues(func() (*described.Document, error) {
	text, err := os.ReadFile(filepath.Join(root(), Document))
	if err != nil {
		return nil, err
	}
	var closed any
	if err := json.Unmarshal(text, &closed); err != nil {
		return nil, err
	}
	closeObjects(closed)
	if text, err = json.Marshal(closed); err != nil {
		return nil, err
	}
	return described.Open(text)
})

// closeObjects forbids fields that a schema does not name. The document itself allows them, so
// that a later version may add some.
func closeObjects(part any) {
	switch part := part.(type) {
	case map[string]any:
		if _, names := part["properties"].(map[string]any); names && part["type"] == "object" && part["additionalProperties"] == nil {
			part["additionalProperties"] = false
		}
		for _, below := range part {
			closeObjects(below)
		}
	case []any:
		for _, below := range part {
			closeObjects(below)
		}
	}
}

// root returns the folder of go.mod.
func root() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "."
}

// Checked is a handler whose answers, and the requests that it accepts, must agree with the
// API's description.
func Checked(t testing.TB, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := &bytes.Buffer{}
		shown := r.Clone(r.Context())
		if r.Body != nil {
			r.Body = &copied{r.Body, asked}
		}
		answer := &copiedAnswer{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(answer, r)
		if err := Agrees(shown, asked.Bytes(), answer.status, answer.Header(), answer.text.Bytes()); err != nil {
			t.Error(err)
		}
	})
}

type copied struct {
	io.ReadCloser
	to *bytes.Buffer
}

func (c *copied) Read(into []byte) (int, error) {
	n, err := c.ReadCloser.Read(into)
	c.to.Write(into[:n])
	return n, err
}

type copiedAnswer struct {
	http.ResponseWriter
	status int
	text   bytes.Buffer
}

// Unwrap lets http.ResponseController reach what it controls.
func (c *copiedAnswer) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *copiedAnswer) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *copiedAnswer) Write(text []byte) (int, error) {
	c.text.Write(text)
	return c.ResponseWriter.Write(text)
}

// CheckedTransport is Checked for clients: a request whose answer breaks the description fails.
type CheckedTransport struct{ http.RoundTripper }

// RoundTrip sends a request and compares it and its answer.
func (c CheckedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := &bytes.Buffer{}
	sent := r.Clone(r.Context())
	if r.Body != nil {
		sent.Body = &copied{r.Body, asked}
	}
	answer, err := c.RoundTripper.RoundTrip(sent)
	if err != nil {
		return nil, err
	}
	if answer.Header.Get("Content-Type") == "text/event-stream" { // it has no end to wait for
		return answer, nil
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	if answer.Header.Get("X-Correlation-Id") == "" { // not the gateway's
		return answer, nil
	}
	return answer, Agrees(r, asked.Bytes(), answer.StatusCode, answer.Header, text)
}

// finite replaces numbers that no float64 holds, which the validator cannot read.
func finite(text []byte) []byte {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return text
	}
	changed := false
	var walk func(any) any
	walk = func(value any) any {
		switch value := value.(type) {
		case map[string]any:
			for name, one := range value {
				value[name] = walk(one)
			}
		case []any:
			for i, one := range value {
				value[i] = walk(one)
			}
		case json.Number:
			if _, err := value.Float64(); err != nil {
				changed = true
				return 0
			}
		}
		return value
	}
	if value = walk(value); !changed {
		return text
	}
	text, _ = json.Marshal(value) // it was just read
	return text
}

// Agrees compares a request and its answer with the API's description. A request that was
// refused may be anything, but its answer may not.
func Agrees(r *http.Request, body []byte, status int, header http.Header, text []byte) error {
	v, err := description()
	if err != nil {
		return fmt.Errorf("read %s: %w", Document, err)
	}
	if status == http.StatusNotFound && bytes.Contains(text, []byte("There is no such route.")) || status == http.StatusMethodNotAllowed && header.Get("Allow") != "" {
		return nil // the description has neither the path, nor this method
	}
	path := r.URL.Path
	if !strings.HasPrefix(path, "/api/v1/") && path != "/livez" && path != "/readyz" {
		return nil
	}
	request := r.Clone(r.Context())
	raw := strings.HasPrefix(path, "/api/v1/webhooks/") || strings.HasPrefix(path, "/api/v1/internal/")
	if raw { // a provider's body may be anything, also what says that it is JSON
		request.Header.Set("Content-Type", "application/octet-stream")
	}
	if raw && len(text) == 0 || r.Method == http.MethodHead { // an answer without a body has nothing to compare
		return nil
	}
	text = finite(text)
	request.URL.RawPath = "" // the gateway routes by the decoded path, too
	query := request.URL.Query()
	for name, values := range query {
		if len(values) == 1 && values[0] == "" { // the same as absent
			query.Del(name)
		}
	}
	request.URL.RawQuery = query.Encode()
	if !raw {
		body = bytes.TrimSpace(body) // blanks are the same as no body
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	request.ContentLength = int64(len(body))
	var wrong []described.Mistake
	if status < http.StatusBadRequest {
		wrong = v.Request(request)
		checked.requests.Add(1)
	}
	answer := &http.Response{StatusCode: status, Header: header.Clone(), Body: io.NopCloser(bytes.NewReader(text)), Request: request}
	request.Body = io.NopCloser(bytes.NewReader(body))
	wrong = append(wrong, v.Answer(request, answer)...)
	checked.answers.Add(1)
	if status >= http.StatusBadRequest || raw { // a spelling that is no path of the description: refused for another reason first, or a name with a slash
		wrong = slices.DeleteFunc(wrong, func(w described.Mistake) bool { return w.OfPath })
	}
	if len(wrong) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, answered %d, breaks %s:", r.Method, r.URL, status, Document)
	for _, w := range wrong {
		b.WriteString(w.Text)
	}
	fmt.Fprintf(&b, "\n  the request: %.500s\n  the answer: %.1500s", body, text)
	return errors.New(b.String())
}
