package ingestion

import (
	"context"
	"errors"
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
	sourceIP      string
	receivedAt    time.Time
	kept
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
	r, reply, err := m.receive(c, src)
	switch {
	case err != nil:
		return m.refused(c, src.name, err)
	case r.EventID == "":
		return sendReply(c, reply)
	}
	return acknowledge(c, r, reply)
}

// receive reads, verifies and stores one webhook, or completes a handshake: then the
// receipt is empty. When it returns no error, the event is committed with its jobs, or
// was before. The reply is nil where the provider wants none of its own.
func (m *Module) receive(c echo.Context, src *source) (receipt, *provider.Reply, error) {
	ctx, ip := c.Request().Context(), httpapi.ClientIP(c)
	req, err := m.read(c, src)
	if err != nil {
		return receipt{}, nil, err
	}
	match, err := src.spec.Authenticate(req, src.secretsAt(req.ReceivedAt))
	if err != nil {
		return receipt{}, nil, m.keep(ctx, src, req, ip, err)
	}
	if err := m.once(ctx, src, match, req.Body); err != nil {
		return receipt{}, nil, err
	}
	m.matches.add(match.SecretID, req.ReceivedAt)
	if err := m.limitVerified(ctx, src, ip); err != nil {
		return receipt{}, nil, err
	}
	if reply := src.spec.Shakes(req); reply != nil {
		return receipt{}, reply, m.shake(ctx, src, reply, ip)
	}
	events, err := src.spec.Normalize(req)
	if err != nil {
		return receipt{}, nil, m.keep(ctx, src, req, ip, err)
	}
	kept, err := src.kept(req, events)
	if err != nil {
		return receipt{}, nil, m.keep(ctx, src, req, ip, err)
	}
	r, err := m.store(ctx, arrival{
		source: src, webhookID: id.New(), secretID: match.SecretID, correlationID: correlation(ctx), sourceIP: ip,
		receivedAt: req.ReceivedAt, kept: kept,
	})
	return r, src.spec.Acknowledges(req), err
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
	patient, cancel := context.WithTimeout(ctx, m.cfg.StoreTimeout)
	defer cancel()
	r, err := m.commits.Do(patient, a)
	switch {
	case errors.Is(err, batch.ErrClosed):
		return receipt{}, fault.Unavailable.Wrap(err, "shutting_down", "The gateway is shutting down.").After(time.Second)
	case err != nil && ctx.Err() != nil:
		return receipt{}, callerGone(err)
	case err != nil && patient.Err() != nil:
		return receipt{}, fault.Unavailable.Wrap(err, "store_slow", "The database takes too long.").After(sourceTimeout)
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
