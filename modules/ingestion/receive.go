package ingestion

import (
	"context"
	"errors"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/telemetry"
)

// verifiedWebhook is a webhook that passed verification and is about to be stored.
type verifiedWebhook struct {
	source        *source
	webhookID     string
	secretID      string // of the secret that verified it
	correlationID string
	sourceIP      string
	receivedAt    time.Time
	signature     string   // see signatureOf
	release       *release // from quarantine; nil if it has just arrived
	spooled       bool     // from the spool
	storedPayload

	compactBody    []byte // what is stored of the body and the headers
	compactHeaders []byte
	headerSet      *int // what compactHeaders differ from; nil if they are complete

	possibleReplay bool     // its signature was seen before with other ids
	repeats        []string // ids of other webhooks' events that its body has too
}

// draft is an event that is stored unless its key is known.
type draft struct {
	id      string
	key     string
	answers []contract.FilterAnswer // from the destinations' filters

	compactPayload []byte // what is stored of the payload

	provider.Event
}

// rowBytes is an event's overhead in a commit: it bounds the rows of a group whose bodies
// hold many small events.
const rowBytes = 2 << 10

// size is the number of bytes that the webhook adds to a commit.
func (w verifiedWebhook) size() int {
	n := len(w.headers) + len(w.body)
	for _, e := range w.events {
		n += rowBytes + len(e.Payload)
	}
	return n
}

// receipt is the answer to the sender. A duplicate gets the ids of the original.
type receipt struct {
	EventID       string   `json:"eventId"`
	EventIDs      []string `json:"eventIds,omitempty"` // set if there are several
	Status        string   `json:"status" api:"enum=queued|duplicate"`
	Duplicate     bool     `json:"duplicate"`
	CorrelationID string   `json:"correlationId"`

	group int // webhooks of the commit; 0 if it needed none
}

// unknownSource stands in the audit trail for a source that does not exist.
const unknownSource = "(unknown)"

// postWebhook receives and answers one webhook, or counts it as refused.
func (m *Module) postWebhook(c echo.Context) error {
	began := m.d.Now()
	w := m.newWay(began)
	source, outcome, err := m.answerWebhook(c, &w)
	m.d.Metrics.Received(source, outcome, began, m.d.Now.Since(began), m.trace(c, &w, source, outcome, err))
	return err
}

// answerWebhook returns the source's name and the outcome for the metrics and the spans.
func (m *Module) answerWebhook(c echo.Context, w *way) (source, outcome string, err error) {
	src, err := m.sourceOf(c)
	if err != nil {
		return unknownSource, outcomeOf(err), m.refused(c, unknownSource, err)
	}
	if src.Disabled {
		source, err = m.refuseDisabled(c, src)
		return source, outcomeOf(err), m.refused(c, source, err)
	}
	if !src.Spec.Takes(c.Request().Method) {
		return src.Name, "refused", m.refused(c, src.Name, wrongMethod(c, src))
	}
	r, reply, err := m.receive(c, src, w)
	w.receipt = r
	switch {
	case err != nil:
		return src.Name, outcomeOf(err), m.answerRefusal(c, src, w, err)
	case r.Status == statusEmpty:
		return src.Name, "handshake", acknowledge(c, r, reply)
	case r.EventID == "":
		return src.Name, "handshake", sendReply(c, reply)
	}
	httpapi.Note(c, telemetry.EventField, r.EventID)
	outcome = "accepted"
	if r.Duplicate {
		outcome = "duplicate"
	}
	return src.Name, outcome, acknowledge(c, r, reply)
}

// outcomeOf distinguishes the sender's fault from ours.
func outcomeOf(err error) string {
	if f := fault.As(err); f == nil || f.Kind == fault.Internal || f.Kind == fault.Unavailable {
		return "failed"
	}
	return "refused"
}

// receive reads, verifies and stores one webhook, or completes a handshake: then the
// receipt is empty. If it returns no error, the event and its jobs are committed, now or
// earlier. The reply is nil unless the provider requires one of its own.
func (m *Module) receive(c echo.Context, src *source, w *way) (receipt, *provider.Reply, error) {
	ctx, ip := c.Request().Context(), httpapi.ClientIP(c)
	if _, err := hopsOf(c.Request().Header); err != nil {
		return receipt{}, nil, err
	}
	req, charged, err := m.read(c, src)
	if err != nil {
		return receipt{}, nil, err
	}
	w.bytes, w.read = len(req.Body), true
	if reply, err := m.greet(ctx, src, req, ip); reply != nil || err != nil {
		return receipt{}, reply, err
	}
	w.note(&w.verifies)
	match, err := src.Spec.Authenticate(req, src.SecretsAt(req.ReceivedAt))
	if err != nil {
		return receipt{}, nil, m.quarantineRequest(ctx, src, req, ip, err)
	}
	w.note(&w.verified)
	w.proved = true
	m.blocked.refund(httpapi.Network(ip), charged)
	if err := m.checkSingleUse(ctx, src, match, req.Body); err != nil {
		return receipt{}, nil, err
	}
	m.d.Sources.Matched(match.SecretID, req.ReceivedAt)
	if match.SecretID != "" {
		m.d.Metrics.SecretMatched(src.Name, src.Newest(match.SecretID), req.ReceivedAt)
	}
	if err := m.limitVerified(ctx, src, ip); err != nil {
		return receipt{}, nil, err
	}
	req.Keys = src.SecretsAt(req.ReceivedAt)
	if reply := src.Spec.HandshakeReply(req); reply != nil {
		return receipt{}, reply, m.completeHandshake(ctx, src, reply, ip)
	}
	req.SignedID = match.SignedID
	events, err := src.Spec.Normalize(req)
	if err != nil {
		return receipt{}, nil, m.quarantineRequest(ctx, src, req, ip, err)
	}
	if len(events) == 0 {
		r, err := m.emptyBatch(ctx, src, ip)
		return r, src.Spec.AcknowledgeReply(req, false), err
	}
	payload, err := src.payload(req, events, m.cfg.Quarantine.Retention > 0)
	if err != nil {
		return receipt{}, nil, m.quarantineRequest(ctx, src, req, ip, err)
	}
	r, err := m.store(ctx, verifiedWebhook{
		source: src, webhookID: id.New(), secretID: match.SecretID, correlationID: payload.correlate(ctx), sourceIP: ip,
		receivedAt: req.ReceivedAt, signature: signatureOf(src.Spec, match), storedPayload: payload,
	}, w)
	return r, src.Spec.AcknowledgeReply(req, r.Duplicate), m.quarantineRequest(ctx, src, req, ip, err)
}

// correlation returns the request's correlation id, which the event keeps.
func correlation(ctx context.Context) string {
	if c := telemetry.Correlation(ctx); c != "" {
		return c
	}
	return id.NewCorrelation()
}

// correlate returns the request's correlation id. If the gateway has generated it, the first
// event gets the id that belongs to it, so that it takes no room of its own; unless the
// request took so long that the event's id would name a time long before its commit.
func (p storedPayload) correlate(ctx context.Context) string {
	generated := telemetry.GeneratedCorrelation(ctx)
	eventID := id.EventOf(generated)
	if eventID == "" || id.Time(p.events[0].id).Sub(id.Time(eventID)) > maxRequestAge {
		return correlation(ctx)
	}
	p.events[0].id = eventID
	return generated
}

// maxRequestAge is well below maxIDSpread.
const maxRequestAge = 500 * time.Millisecond

func drafts(src *source, events []provider.Event, body []byte) []draft {
	keys := idempotencyKeys(src.Name, src.Spec.Deduplication, events, body)
	made := make([]draft, len(events))
	for i, e := range events {
		made[i] = draft{id: id.NewEvent(), key: keys[i], Event: e}
	}
	return made
}

// route evaluates the destinations' filters for the webhook's events. It runs before the
// commit, so that a slow filter delays this request alone and not the whole group.
func (m *Module) route(ctx context.Context, w verifiedWebhook) {
	events := w.newEvents()
	m.d.Scheduler.Route(ctx, events)
	for i := range events {
		w.events[i].answers = events[i].Answers
	}
}

// store adds the webhook to the next commit and waits for it. If the database is away, the
// webhook goes into the spool instead.
func (m *Module) store(ctx context.Context, w verifiedWebhook, on *way) (receipt, error) {
	on.drafts = w.events
	on.note(&on.stores)
	if !m.spools(w) {
		return m.storeNow(ctx, w, on)
	}
	if m.d.Spool.Away() {
		return m.spool(ctx, w, away())
	}
	// A sender that leaves has its webhook stored, or spooled if the commit fails.
	r, err := m.storeNow(context.WithoutCancel(ctx), w, on)
	if err != nil && notStored(err) {
		return m.spool(ctx, w, err)
	}
	return r, err
}

func (m *Module) storeNow(ctx context.Context, w verifiedWebhook, on *way) (receipt, error) {
	if err := m.inWindow(ctx, w); err != nil {
		return receipt{}, err
	}
	m.route(ctx, w)
	w.compact(m.headerSets.observe(w.source.Name, w.headers))
	waitCtx, cancel := context.WithTimeout(ctx, m.cfg.StoreTimeout)
	defer cancel()
	r, err := m.commits.Do(waitCtx, w)
	if err == nil {
		on.note(&on.stored)
	}
	switch {
	case errors.Is(err, batch.ErrClosed):
		return receipt{}, fault.Unavailable.Wrap(err, "shutting_down", "The gateway is shutting down.").After(time.Second)
	case err != nil && ctx.Err() != nil:
		return receipt{}, callerGone(err)
	case err != nil && waitCtx.Err() != nil:
		return receipt{}, fault.Unavailable.Wrap(err, storeSlow, "The database did not answer in time.").After(5 * time.Second)
	}
	return r, err
}

func callerGone(err error) error {
	return fault.Unavailable.Wrap(err, "caller_gone", "The caller closed the connection before the answer.").After(time.Second)
}
