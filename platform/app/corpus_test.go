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

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// The variables that TestNoRequestBreaksARoute heeds: one has it repeat a run, the other
// send every request that is listed, and not only a sample.
const (
	corpusSeed = "CORPUS_SEED"
	corpusAll  = "CORPUS_ALL"
)

// How many of the listed requests are sent, and how many more are put together by chance.
const (
	sampledProbes  = 1200
	combinedProbes = 400
)

// TestNoRequestBreaksARoute sends every route whatever a client may send, byte for byte,
// with no credential, a wrong one, a viewer's and an administrator's. No answer is a 5xx,
// none is a 2xx for who lacks the role, every error has the API's shape, and none holds a
// secret or what a dependency said. Afterwards all is as well as before, and what was
// refused is written down.
func TestNoRequestBreaksARoute(t *testing.T) {
	seed := uint64(clock.System().UnixNano()) //nolint:gosec // any number will do
	if text := os.Getenv(corpusSeed); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, corpusSeed)
		seed = given
	}
	t.Logf("repeat with %s=%d", corpusSeed, seed)
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		c, chance := newCorpus(t, db), rand.New(rand.NewPCG(seed, 0))
		listed := c.listed()
		if os.Getenv(corpusAll) == "" {
			chance.Shuffle(len(listed), func(i, j int) { listed[i], listed[j] = listed[j], listed[i] })
			listed = listed[:sampledProbes]
		}
		c.send(append(listed, c.combined(chance, combinedProbes)...))
		c.stillWell()
	})
}

// corpus is a gateway that listens, and what the probes are made of.
type corpus struct {
	*guarded
	address string
	ids     map[string]string // by the kind of record
	roles   map[string]httpapi.Role
	routes  []httpapi.Route
}

func newCorpus(t *testing.T, db *database.DB) *corpus {
	g := newGuarded(t, db, "WEBHOOK_FAILURE_LIMIT_PER_MINUTE", "0", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0", "SECRETS_KEY", corpusSecretsKey)
	require.NoError(t, g.listen(t.Context()))
	served := make(chan error, 1)
	go func() { served <- g.server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, g.server.Shutdown(context.Background()))
		require.NoError(t, <-served)
	})
	c := &corpus{guarded: g, address: g.server.Addr(), ids: g.records("acme"), roles: map[string]httpapi.Role{}, routes: g.server.Registered()}
	b := &bench{system: g.system, t: t}
	c.ids["secretId"] = b.text(`SELECT id FROM integration_secrets WHERE integration_id = $1`, c.ids["integrations"])
	c.ids["destinationId"] = b.text(`SELECT id FROM destinations WHERE integration_id = $1`, c.ids["integrations"])
	for _, route := range c.routes {
		c.roles[route.Method+" "+route.Path] = route.Role
	}
	return c
}

// send sends all probes, several at once, and judges the answers.
func (c *corpus) send(probes []request) {
	c.t.Helper()
	c.t.Logf("%d requests", len(probes))
	queue := make(chan request)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for p := range queue {
				if wrong := c.judge(p); wrong != "" {
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

// judge sends one probe, and says what is wrong with its answer; "" when nothing is.
func (c *corpus) judge(p request) string {
	text := c.text(p)
	answer, body, err := c.exchange(p, text)
	switch {
	case errors.Is(err, syscall.ECONNRESET) && p.malformed:
		return "" // refused, and closed with bytes of it unread
	case err != nil:
		return "no answer: " + err.Error()
	case answer.StatusCode == http.StatusServiceUnavailable && p.ends:
		return "" // for a caller who went away, it is said to nobody
	case answer.Header.Get(httpapi.HeaderCorrelation) == "":
		// net/http itself refuses what is no HTTP/1.x: 501 and 505 are the protocol's own answers.
		if p.malformed && slices.Contains([]int{400, 417, 431, 501, 505}, answer.StatusCode) {
			return ""
		}
		return fmt.Sprintf("%d, not by the API", answer.StatusCode)
	case answer.StatusCode >= 500:
		return fmt.Sprintf("%d: %s", answer.StatusCode, body)
	case answer.StatusCode < 300 && !c.entitled(p):
		return fmt.Sprintf("%d without authority: %s", answer.StatusCode, body)
	case answer.StatusCode >= 300 && p.method != http.MethodHead:
		if wrong := shapeOf(answer.StatusCode, body); wrong != "" {
			return wrong + ": " + string(body)
		}
	}
	for _, told := range c.untold() {
		if bytes.Contains(body, []byte(told)) && !strings.Contains(text, told) {
			return fmt.Sprintf("the answer holds %q: %s", told, body)
		}
	}
	return ""
}

// untold is what no answer may hold: secrets, and the words of dependencies.
func (c *corpus) untold() []string {
	list := []string{
		"a-long-secret", corpusSecretsKey, "pq:", "SQLSTATE", "sqlite", "SQLITE", "constraint", "sql:", "goroutine ", ".go:", "runtime error",
		"strconv.", "json:", "invalid character", "unmarshal", "dial tcp", "context canceled", "gzip:", "mime:",
	}
	for _, key := range c.keys {
		list = append(list, key)
	}
	return list
}

// exchange sends the text of a request as it is, and reads the answer.
func (c *corpus) exchange(p request, text string) (*http.Response, []byte, error) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	// What is refused early may not be read to its end, so that writing may fail.
	go func() {
		_, err := io.WriteString(conn, text)
		if tcp, is := conn.(*net.TCPConn); is && err == nil && p.ends {
			_ = tcp.CloseWrite()
		}
	}()
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, &http.Request{Method: p.method})
	if err == nil && answer.StatusCode == http.StatusContinue {
		answer, err = http.ReadResponse(reader, &http.Request{Method: p.method})
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

var codes = map[int]string{
	400: "VALIDATION_ERROR", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT",
	413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 429: "RATE_LIMITED",
}

// shapeOf says what an error's body lacks of the API's shape.
func shapeOf(status int, body []byte) string {
	var answer struct {
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
	switch err := decoder.Decode(&answer); {
	case err != nil:
		return fmt.Sprintf("%d with a body of another shape: %v", status, err)
	case answer.Success == nil || *answer.Success || answer.Error == nil || answer.Error.Message == "":
		return fmt.Sprintf("%d with a body of another shape", status)
	case codes[status] == "" || answer.Error.Code != codes[status]:
		return fmt.Sprintf("%d with the code %q", status, answer.Error.Code)
	}
	for _, d := range answer.Error.Details {
		if d.Field == "" || d.Message == "" {
			return "a detail without its field or message"
		}
	}
	return ""
}

// stillWell asks what a gateway answers that nothing happened to.
func (c *corpus) stillWell() {
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
	answer, body, err := c.exchange(good, c.text(good))
	require.NoError(c.t, err)
	require.Less(c.t, answer.StatusCode, 300, string(body))

	ended, end := context.WithCancel(context.Background())
	end()
	require.NoError(c.t, c.ingestion.Close(), "quarantine can be written")
	require.NoError(c.t, c.audit.Run(ended), "refusals can be audited")
	require.Positive(c.t, tableCount(c.t, c.db, "quarantine"))
	status, body := c.call(http.MethodGet, "/api/v1/quarantine?pageSize=100", "admin", "")
	require.Equal(c.t, http.StatusOK, status, string(body))
}
