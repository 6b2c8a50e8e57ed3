package ingestion

import (
	"context"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// Quarantine bounds the quarantine: requests to a known source that failed verification, could
// not be normalized, or came while the source was disabled.
type Quarantine struct {
	Retention      time.Duration // 0 turns the quarantine off
	PerSource      int           // requests; the oldest of the largest client network are removed first
	BytesPerSource int64         // as stored
	BytesPerMinute int64         // per source, as stored; each client network has a share
}

// largest returns how many bytes one request may have, as they are stored.
func (q Quarantine) largest() int64 { return min(q.BytesPerSource, q.BytesPerMinute/2) }

// Quarantined is a refused request as it is listed.
type Quarantined struct {
	ID            string `db:"id" json:"id"`
	Source        string `db:"source" json:"source"`
	IntegrationID string `db:"integration_id" json:"integrationId"`
	Provider      string `db:"provider" json:"provider"`
	Reason        string `db:"reason" json:"reason"` // stable, such as no_match
	Detail        string `db:"detail" json:"detail"` // a sentence for the operator
	// ExternalEventID is what the body says, although it is not verified; null if it says none,
	// is large or redacted, or made several events.
	ExternalEventID *string `db:"external_event_id" json:"externalEventId"`

	SourceIP      string     `db:"source_ip" json:"sourceIp"`
	CorrelationID string     `db:"correlation_id" json:"correlationId"`
	Size          int64      `db:"size" json:"size"`         // of the received body
	Redacted      bool       `db:"redacted" json:"redacted"` // the body was not stored
	ReceivedAt    clock.Time `db:"received_at" json:"receivedAt"`

	// Repeats counts further requests with the same body and the same proof that were refused
	// for the same reason. They are not stored.
	Repeats        int64       `db:"repeats" json:"repeats"`
	LastReceivedAt *clock.Time `db:"last_received_at" json:"lastReceivedAt"` // of the last repeat
}

// quarantined is a refused request as it is stored.
type quarantined struct {
	Quarantined
	Method  string `db:"method"`
	URL     string `db:"url"`
	Headers string `db:"request_headers"` // see storedHeaders
	Digests string `db:"header_digests"`  // see digests
	Body    []byte `db:"raw_body"`
	Packed  bool   `db:"packed"` // the body is stored as gzip

	fingerprint string // equal for repeats
	stored      int64  // its size within the bounds
}

// quarantineRequest buffers a refused request for the quarantine, if err is a refusal and
// there is room, and returns err. It does no I/O and never waits.
func (m *Module) quarantineRequest(ctx context.Context, src *source, req provider.Request, ip string, err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unauthorized && f.Kind != fault.Invalid && f.Reason != redactionBroken && f.Reason != sourceDisabled {
		return err
	}
	reason, detail := refusalReason(f)
	key := m.quarantine.key(src, req, reason)
	if !m.quarantine.admits(key, holder{src.Name, httpapi.ClientNetwork(ip)}, len(req.Body), req.ReceivedAt) {
		return err
	}
	q := quarantined{
		Quarantined: Quarantined{
			ID: id.New(), Source: src.Name, IntegrationID: src.IntegrationID, Provider: src.Spec.Name, Reason: reason, Detail: detail, SourceIP: ip,
			CorrelationID: correlation(ctx), Size: int64(len(req.Body)), ReceivedAt: clock.At(req.ReceivedAt),
		},
		Method: req.Method, URL: storedURL(src.Spec, req.URL), Body: req.Body,
		Headers: string(storedHeaders(req.Header, src, false)), Digests: "{}",
		fingerprint: m.fingerprint(src, req, reason),
	}
	if src.Redaction.None() {
		q.Digests = string(q.digests(req, src, m.d.Digester))
		q.ExternalEventID = claimedID(src, req)
	} else {
		q.withoutBody(src, req)
	}
	m.quarantine.add(key, q)
	return err
}

// sourceDisabled is why a verified request to a disabled source is in quarantine.
const sourceDisabled = "source_disabled"

// refuseDisabled verifies a request to a disabled source. One that verifies is kept in
// quarantine, from which it can be released when the source is enabled; handshakes are not kept,
// since their answer cannot wait. Any other request is answered like one to an unknown source.
// It also returns the source's name for the audit trail.
func (m *Module) refuseDisabled(c echo.Context, src *source) (name string, err error) {
	ctx, ip := c.Request().Context(), httpapi.ClientIP(c)
	if _, err = hopsOf(c.Request().Header); err != nil || !src.Spec.Takes(c.Request().Method) {
		return unknownSource, provider.NoSource()
	}
	req, charged, err := m.read(c, src)
	if err == nil {
		_, err = src.Spec.Authenticate(req, src.SecretsAt(req.ReceivedAt))
	}
	switch {
	case err != nil && outcomeOf(err) == "failed":
		return src.Name, err // ours; whether it is genuine is not known
	case err != nil:
		return unknownSource, provider.NoSource()
	}
	m.blocked.refund(httpapi.Network(ip), charged)
	refusal := fault.NotFound.New(sourceDisabled, "The source %s is disabled and accepts no webhooks. Send this one again when it is enabled.", src.Name).
		Because("it was verified; enable the source, then release it")
	if req.Keys = src.SecretsAt(req.ReceivedAt); src.Spec.HandshakeReply(req) != nil {
		return src.Name, refusal
	}
	return src.Name, m.quarantineRequest(ctx, src, req, ip, refusal)
}

// activeSourceOf finds the source that a request names, if it is active.
func (m *Module) activeSourceOf(c echo.Context) (*source, error) {
	src, err := m.sourceOf(c)
	if err == nil && src.Disabled {
		return nil, provider.NoSource()
	}
	return src, err
}

// maxIdentified bounds the bodies whose id is read, so that a flood costs little.
const maxIdentified = 64 << 10

// claimedID returns the id of the event that an unverified request would be, nil if none can be
// read.
func claimedID(src *source, req provider.Request) *string {
	if len(req.Body) > maxIdentified {
		return nil
	}
	events, err := src.Spec.Normalize(req)
	if err != nil || len(events) != 1 {
		return nil
	}
	return events[0].ID
}

// withoutBody removes everything that may hold redacted fields. An unverified body cannot be
// redacted field by field.
func (q *quarantined) withoutBody(src *source, req provider.Request) {
	q.Redacted, q.Body, q.Digests = true, []byte{}, "{}"
	q.URL, _, _ = strings.Cut(withoutSegments(req.URL), "?")
	clean, _ := provider.Redact(req, src.Redaction)
	q.Headers = string(redactedHeaders(req.Header, src, false, clean))
}

// refusalReason returns a refusal's reason and its text for operators.
func refusalReason(f *fault.Error) (reason, detail string) {
	return f.Reason, strings.TrimSuffix(provider.Clean(f.Detail()), ".")
}
