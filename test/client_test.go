package test

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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// The seeded secrets.
const (
	acmeSecret   = "acme-demo-secret"
	globexSecret = "globex-demo-secret"
)

// client uses the gateway like providers and operators do: only over HTTP.
type client struct {
	t         *testing.T
	base      string
	http      *http.Client
	responses testkit.Log // all responses
}

func newClient(t *testing.T, base string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, base: base, http: &http.Client{Transport: transport, Timeout: time.Minute}}
}

// receipt is the response to a sender.
type receipt struct {
	EventID       string `json:"eventId"`
	Status        string `json:"status"`
	Duplicate     bool   `json:"duplicate"`
	CorrelationID string `json:"correlationId"`
}

// envelope is the common format of all responses.
type envelope struct {
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Meta    struct {
		Total int `json:"total"`
	} `json:"meta"`
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// ask makes a request and reads the response. An error means that there was none.
func (c *client) ask(method, path string, body []byte, header map[string]string) (*http.Response, envelope, error) {
	var e envelope
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, e, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, e, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, e, err
	}
	_, _ = fmt.Fprintf(&c.responses, "%s %s: %d %v\n%s\n", method, path, res.StatusCode, res.Header, text)
	return res, e, json.Unmarshal(text, &e)
}

// get reads data from the management API, and returns the total of a list.
func (c *client) get(path string, data any) int {
	c.t.Helper()
	res, e, err := c.ask(http.MethodGet, "/api/v1"+path, nil, map[string]string{"X-Internal-Api-Key": managementKey})
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, res.StatusCode, "%s: %v", path, e.Error)
	require.NoError(c.t, json.Unmarshal(e.Data, data))
	return e.Meta.Total
}

// post sends a webhook to a source. It may be called from any goroutine.
func (c *client) post(source, body, correlation string) (int, receipt, envelope, error) {
	header := map[string]string{"Content-Type": "application/json", "X-Globex-Token": globexSecret}
	if source == "acme" {
		header = map[string]string{"Content-Type": "application/json", "X-Acme-Signature": acmeSignature(body)}
	}
	if correlation != "" {
		header["X-Correlation-Id"] = correlation
	}
	res, e, err := c.ask(http.MethodPost, "/api/v1/webhooks/"+source, []byte(body), header)
	if err != nil {
		return 0, receipt{}, e, err
	}
	var r receipt
	if e.Success {
		err = json.Unmarshal(e.Data, &r)
	}
	return res.StatusCode, r, e, err
}

// send sends a webhook that must be answered with status.
func (c *client) send(status int, source, body, correlation string) receipt {
	c.t.Helper()
	got, r, e, err := c.post(source, body, correlation)
	require.NoError(c.t, err)
	require.Equal(c.t, status, got, "%v", e.Error)
	return r
}

func acmeSignature(body string) string {
	mac := hmac.New(sha256.New, []byte(acmeSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// order returns an acme webhook.
func order(eventID, subject string) string {
	return fmt.Sprintf(`{"eventId":%q,"eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z","subject":%q,"data":{"total":"19.90"}}`, eventID, subject)
}

// eventView, attempt, job, entry and replayView are the parts of the management API that
// the tests read.
type eventView struct {
	ID                 string          `json:"id"`
	WebhookEventID     string          `json:"webhookEventId"`
	Source             string          `json:"source"`
	ExternalEventID    string          `json:"externalEventId"`
	EventType          string          `json:"eventType"`
	Subject            string          `json:"subject"`
	NormalizedPayload  json.RawMessage `json:"normalizedPayload"`
	Status             string          `json:"status"`
	ProcessingAttempts int             `json:"processingAttempts"`
	LastError          *string         `json:"lastError"`
	LastProcessedAt    *time.Time      `json:"lastProcessedAt"`
	CorrelationID      string          `json:"correlationId"`
}

type attempt struct {
	AttemptNo    int       `json:"attemptNo"`
	Status       string    `json:"status"`
	HTTPStatus   *int      `json:"httpStatus"`
	ErrorMessage *string   `json:"errorMessage"`
	CreatedAt    time.Time `json:"createdAt"`
}

func (a attempt) String() string {
	answer := 0
	if a.HTTPStatus != nil {
		answer = *a.HTTPStatus
	}
	return fmt.Sprintf("%d %s %d", a.AttemptNo, a.Status, answer)
}

type job struct {
	ID            string     `json:"id"`
	DestinationID *string    `json:"destinationId"`
	QueueName     string     `json:"queueName"`
	TriggeredBy   string     `json:"triggeredBy"`
	Status        string     `json:"status"`
	AttemptNo     int        `json:"attemptNo"`
	ScheduledAt   time.Time  `json:"scheduledAt"`
	StartedAt     *time.Time `json:"startedAt"`
	CompletedAt   *time.Time `json:"completedAt"`
	CreatedAt     time.Time  `json:"createdAt"`
}

func (j job) String() string {
	queue := j.QueueName[strings.LastIndexByte(j.QueueName, '.')+1:]
	return fmt.Sprintf("%s on %s: %s", j.TriggeredBy, queue, j.Status)
}

type entry struct {
	ID         string         `json:"id"`
	EntityType string         `json:"entityType"`
	EntityID   string         `json:"entityId"`
	Action     string         `json:"action"`
	Actor      string         `json:"actor"`
	Details    map[string]any `json:"details"`
}

type replayView struct {
	ID          string `json:"id"`
	EventID     string `json:"eventId"`
	Status      string `json:"status"`
	RequestedBy string `json:"requestedBy"`
	Reason      string `json:"reason"`
}

// status reads the status of an event.
func (c *client) status(eventID string) (status string, attempts int) {
	c.t.Helper()
	var s struct {
		EventID            string `json:"eventId"`
		Status             string `json:"status"`
		ProcessingAttempts int    `json:"processingAttempts"`
	}
	c.get("/events/"+eventID+"/status", &s)
	require.Equal(c.t, eventID, s.EventID)
	return s.Status, s.ProcessingAttempts
}

// waitForStatus waits until an event has the status.
func (c *client) waitForStatus(eventID, status string) {
	c.t.Helper()
	eventually(c.t, func() bool {
		now, _ := c.status(eventID)
		return now == status
	}, "event %s is %s", eventID, status)
}

func decode(text []byte, data any) error { return json.Unmarshal(text, data) }
