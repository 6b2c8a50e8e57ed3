package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// Environment variables of TestNoRequestBreaksARoute: corpusSeed chooses another sample,
// corpusAll sends every listed request.
const (
	corpusSeed = "CORPUS_SEED"
	corpusAll  = "CORPUS_ALL"
)

// The numbers of listed requests in the sample and of random combinations.
const (
	sampledProbes  = 1200
	combinedProbes = 400
)

// TestNoRequestBreaksARoute sends raw requests, valid and malformed, to every route: with no
// credential, an invalid one, a viewer's and an administrator's. No response is a 5xx, no
// client without the role gets a 2xx, every error has the API's shape, and no response contains
// a secret or a dependency's error text. Afterwards the gateway is healthy, and the refusals
// are recorded.
func TestNoRequestBreaksARoute(t *testing.T) {
	seed := uint64(1) // the same sample each time: a change is judged by what it changed
	if text := os.Getenv(corpusSeed); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, corpusSeed)
		seed = given
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		c, random := newCorpus(t, db), rand.New(rand.NewPCG(seed, 0))
		listed := c.listed()
		if os.Getenv(corpusAll) == "" {
			random.Shuffle(len(listed), func(i, j int) { listed[i], listed[j] = listed[j], listed[i] })
			listed = listed[:sampledProbes]
		}
		c.send(append(listed, c.combined(random, combinedProbes)...))
		c.requireHealthy()
	})
}

// corpus is a listening gateway with the data that the probes need.
type corpus struct {
	*guarded
	address string
	ids     map[string]string // by record kind
	roles   map[string]httpapi.Role
	routes  []httpapi.Route
}

func newCorpus(t *testing.T, db *database.DB) *corpus {
	g := newGuarded(t, db, "WEBHOOK_FAILURE_LIMIT_PER_MINUTE", "0", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0", "SECRETS_KEY", corpusSecretsKey)
	require.NoError(t, listen(t.Context(), g.frontListeners()))
	served := make(chan error, 1)
	go func() { served <- g.server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, g.server.Shutdown(context.Background()))
		require.NoError(t, <-served)
	})
	c := &corpus{guarded: g, address: g.server.Addr(), ids: g.records("acme"), roles: map[string]httpapi.Role{}, routes: g.server.Registered()}
	// A stream has no end to wait for.
	c.routes = slices.DeleteFunc(c.routes, func(r httpapi.Route) bool { return r.Spec.Stream })
	f := &fixture{system: g.system, t: t}
	c.ids["secretId"] = f.text(`SELECT id FROM integration_secrets WHERE integration_id = $1`, c.ids["integrations"])
	c.ids["destinationId"] = f.text(`SELECT id FROM destinations WHERE integration_id = $1`, c.ids["integrations"])
	for _, route := range c.routes {
		c.roles[route.Method+" "+route.Path] = route.Role
	}
	return c
}

// send sends all probes concurrently and checks the responses.
func (c *corpus) send(probes []request) {
	c.t.Helper()
	c.t.Logf("%d requests", len(probes))
	queue := make(chan request)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for p := range queue {
				if wrong := c.check(p); wrong != "" {
					c.t.Errorf("%s\n%s as %s: %.600q", wrong, p.name, p.credential, c.text(p))
				}
			}
		})
	}
	for _, p := range probes {
		queue <- p
	}
	close(queue)
	senders.Wait()
}

// check sends one probe and describes what is wrong with the response; "" if it is correct.
func (c *corpus) check(p request) string {
	sent := c.text(p)
	response, body, err := c.exchange(p, sent)
	switch {
	case errors.Is(err, syscall.ECONNRESET) && p.malformed:
		return "" // refused, and closed before the whole request was read
	case err != nil:
		return "no response: " + err.Error()
	case response.StatusCode == http.StatusServiceUnavailable && (p.closes || strings.HasPrefix(p.target, "/metrics")):
		return "" // the client has disconnected; too many scrapes at once
	case response.Header.Get(httpapi.HeaderCorrelation) == "":
		// net/http itself refuses requests that are not HTTP/1.x, with 501 and 505 among others.
		if p.malformed && slices.Contains([]int{400, 417, 431, 501, 505}, response.StatusCode) {
			return ""
		}
		return fmt.Sprintf("%d, not from the API", response.StatusCode)
	case response.StatusCode >= 500:
		return fmt.Sprintf("%d: %s", response.StatusCode, body)
	case response.StatusCode < 300 && !c.authorized(p):
		return fmt.Sprintf("%d without authorization: %s", response.StatusCode, body)
	case response.StatusCode >= 300 && p.method != http.MethodHead:
		if wrong := checkShape(response.StatusCode, body); wrong != "" {
			return wrong + ": " + string(body)
		}
	}
	if wrong := agreement(sent, response, body); wrong != nil {
		return wrong.Error()
	}
	for _, text := range c.forbiddenTexts() {
		if bytes.Contains(body, []byte(text)) && !strings.Contains(sent, text) {
			return fmt.Sprintf("the response contains %q: %s", text, body)
		}
	}
	return ""
}

// agreement compares a request and its answer with the API's description, if it can be read as
// one.
func agreement(sent string, response *http.Response, body []byte) error {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(sent)))
	if err != nil {
		return nil //nolint:nilerr // malformed on purpose
	}
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	return testkit.Agrees(r, asked, response.StatusCode, response.Header, body)
}

// forbiddenTexts returns what no response may contain: secrets and dependencies' error texts.
func (c *corpus) forbiddenTexts() []string {
	list := []string{
		"a-long-secret", corpusSecretsKey, "pq:", "SQLSTATE", "sqlite", "SQLITE", "constraint", "sql:", "goroutine ", ".go:", "runtime error",
		"strconv.", "json:", "invalid character", "unmarshal", "dial tcp", "context canceled", "gzip:", "mime:",
	}
	for _, key := range c.keys {
		list = append(list, key)
	}
	return list
}

// exchange sends the raw text of a request and reads the response.
func (c *corpus) exchange(p request, text string) (*http.Response, []byte, error) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	// Writing may fail, because the server may refuse a request before it has read all of it.
	go func() {
		_, err := io.WriteString(conn, text)
		if tcp, is := conn.(*net.TCPConn); is && err == nil && p.closes {
			_ = tcp.CloseWrite()
		}
	}()
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: p.method})
	if err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(reader, &http.Request{Method: p.method})
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

var codes = map[int]string{
	400: "VALIDATION_ERROR", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 409: "CONFLICT",
	413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 429: "RATE_LIMITED",
}

// checkShape describes how an error body differs from the API's shape.
func checkShape(status int, body []byte) string {
	var response struct {
		Success *bool `json:"success"`
		Error   *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Details []struct {
				Field, Message string
			} `json:"details"`
		} `json:"error"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&response); {
	case err != nil:
		return fmt.Sprintf("%d with a body that does not have the API's shape: %v", status, err)
	case response.Success == nil || *response.Success || response.Error == nil || response.Error.Message == "":
		return fmt.Sprintf("%d with a body that does not have the API's shape", status)
	case codes[status] == "" || response.Error.Code != codes[status]:
		return fmt.Sprintf("%d with the code %q", status, response.Error.Code)
	}
	for _, d := range response.Error.Details {
		if d.Field == "" || d.Message == "" {
			return "a detail without a field or message"
		}
	}
	return ""
}

// requireHealthy checks that the gateway still works normally.
func (c *corpus) requireHealthy() {
	c.t.Helper()
	for _, path := range []string{"/readyz", "/api/v1/health"} {
		status, body := c.call(http.MethodGet, path, "", "")
		require.Equal(c.t, http.StatusOK, status, "%s: %s", path, body)
	}
	for _, list := range []string{"events", "deliveries", "integrations", "quarantine", "dead-letters", "audit-entries", "replay-requests", "api-keys"} {
		status, body := c.call(http.MethodGet, "/api/v1/"+list, "admin", "")
		require.Equal(c.t, http.StatusOK, status, "%s: %s", list, body)
	}
	good := c.request(httpapi.Route{Method: http.MethodPost, Path: httpapi.Base + "/webhooks/:source"}, "admin")
	response, body, err := c.exchange(good, c.text(good))
	require.NoError(c.t, err)
	require.Less(c.t, response.StatusCode, 300, string(body))

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(c.t, c.ingestion.Close(), "the quarantine can be written")
	require.NoError(c.t, c.audit.Run(ended), "refusals can be audited")
	require.Positive(c.t, tableCount(c.t, c.db, "quarantine"))
	status, body := c.call(http.MethodGet, "/api/v1/quarantine?pageSize=100", "admin", "")
	require.Equal(c.t, http.StatusOK, status, string(body))
}
