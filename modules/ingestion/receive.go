package ingestion

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/batch"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/telemetry"
)

// arrival is a verified webhook on its way into the database.
type arrival struct {
	source        *source
	webhookID     string
	secretID      string // which secret it was verified with
	correlationID string
	headers       []byte // redacted, as a JSON object
	body          []byte
	sourceIP      string
	receivedAt    time.Time
	events        []draft
}

// draft is an event that is new unless its key is known.
type draft struct {
	id  string
	key string
	provider.Event
}

// rowBytes is what an event costs a commit besides its bytes: it bounds the rows of a
// group whose bodies hold many small events.
const rowBytes = 2 << 10

// size is what the arrival brings into a commit.
func (a arrival) size() int {
	n := len(a.headers) + len(a.body)
	for _, e := range a.events {
		n += rowBytes + len(e.Payload)
	}
	return n
}

// receipt is what the sender is told. A repeat is told the ids of the first.
type receipt struct {
	EventID       string   `json:"eventId"`
	EventIDs      []string `json:"eventIds,omitempty"` // all of them, when there are several
	Status        string   `json:"status"`
	Duplicate     bool     `json:"duplicate"`
	CorrelationID string   `json:"correlationId"`
}

// unknown stands in the audit where a stranger asked for a source that is not there.
const unknown = "(unknown)"

// postWebhook takes one webhook in and answers it, or counts it as refused.
func (m *Module) postWebhook(c echo.Context) error {
	src, err := m.sources.find(c.Request().Context(), c.Param("source"))
	if err != nil {
		return m.refused(c, unknown, err)
	}
	r, err := m.receive(c, src)
	switch {
	case err != nil:
		return m.refused(c, src.name, err)
	case r.Duplicate:
		return httpapi.Data(c, http.StatusOK, r)
	}
	return httpapi.Data(c, http.StatusAccepted, r)
}

// receive reads, verifies and stores one webhook. When it returns no error, the event
// is committed with its jobs, or was before.
func (m *Module) receive(c echo.Context, src *source) (receipt, error) {
	ctx, ip := c.Request().Context(), httpapi.ClientIP(c)
	req, err := m.read(c, src)
	if err != nil {
		return receipt{}, err
	}
	match, err := src.spec.Verify.Verify(req, src.secretsAt(req.ReceivedAt))
	if err != nil {
		return receipt{}, err
	}
	m.matches.add(match.SecretID, req.ReceivedAt)
	if err := m.limitVerified(ctx, src, ip); err != nil {
		return receipt{}, err
	}
	events, err := src.spec.Normalize(req)
	if err != nil {
		return receipt{}, err
	}
	return m.store(ctx, arrival{
		source: src, webhookID: id.New(), secretID: match.SecretID, correlationID: correlation(ctx),
		headers: storedHeaders(req.Header, src), body: req.Body, sourceIP: ip, receivedAt: req.ReceivedAt,
		events: drafts(src, events, req.Body),
	})
}

// read takes the request as the verifier needs it: the exact bytes, within bounds.
func (m *Module) read(c echo.Context, src *source) (provider.Request, error) {
	r, at := c.Request(), m.d.Now()
	if !isJSON(r.Header.Get(echo.HeaderContentType)) {
		return provider.Request{}, fault.UnsupportedMedia.New("not_json", "The content-type must be application/json.")
	}
	limit := m.cfg.MaxBodyBytes
	if src.maxBodyBytes != nil {
		limit = *src.maxBodyBytes
	}
	body, err := httpapi.ReadBody(c, limit)
	if err != nil {
		return provider.Request{}, err
	}
	return provider.Request{Method: r.Method, URL: m.urlOf(r), Header: r.Header, Body: body, ReceivedAt: at}, nil
}

// isJSON accepts application/json and every +json type (RFC 6839), whatever charset is
// said: JSON is UTF-8, and a provider's parameter is no reason to lose an event.
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	return kind == echo.MIMEApplicationJSON || strings.HasSuffix(kind, "+json")
}

func (m *Module) urlOf(r *http.Request) string {
	if m.cfg.PublicBaseURL != "" {
		return m.cfg.PublicBaseURL + r.URL.RequestURI()
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + r.URL.RequestURI()
}

// correlation is the request's id, which the event keeps for good.
func correlation(ctx context.Context) string {
	if c := telemetry.Correlation(ctx); c != "" {
		return c
	}
	return id.New()
}

func drafts(src *source, events []provider.Event, body []byte) []draft {
	keys := idempotencyKeys(src.name, events, body)
	made := make([]draft, len(events))
	for i, e := range events {
		made[i] = draft{id: id.New(), key: keys[i], Event: e}
	}
	return made
}

// store waits for the commit that the arrival is part of.
func (m *Module) store(ctx context.Context, a arrival) (receipt, error) {
	r, err := m.commits.Do(ctx, a)
	switch {
	case errors.Is(err, batch.ErrClosed):
		return receipt{}, fault.Unavailable.Wrap(err, "shutting_down", "The gateway is shutting down.").After(time.Second)
	case err != nil && ctx.Err() != nil:
		return receipt{}, callerGone(err)
	}
	return r, err
}

func callerGone(err error) error {
	return fault.Unavailable.Wrap(err, "caller_gone", "The caller went away before the answer.").After(time.Second)
}

// refused audits err when it is the sender's mistake. A sender who makes too many of
// them is told to wait instead; good requests never are because of bad ones.
func (m *Module) refused(c echo.Context, name string, err error) error {
	f := fault.As(err)
	if f == nil || f.Kind == fault.Internal || f.Kind == fault.Unavailable {
		return err
	}
	m.d.Audit.Refused(contract.Refusal{
		Action: "webhook.rejected", EntityType: contract.EntityWebhookEvent, Source: name, Reason: f.Reason,
	})
	if f.Kind == fault.RateLimited {
		return err
	}
	if limited := m.limitRefused(c.Request().Context(), httpapi.ClientIP(c)); limited != nil {
		return limited
	}
	return err
}
