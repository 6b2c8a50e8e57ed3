package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// Released says what became of a request that was let out of quarantine.
type Released struct {
	QuarantineID string   `json:"quarantineId"`
	EventID      string   `json:"eventId"`
	EventIDs     []string `json:"eventIds,omitempty"`
	Status       string   `json:"status"`
	Duplicate    bool     `json:"duplicate"`
}

// Release verifies a refused request again, with the integration's secrets and options as
// they are now and its signed time against when it was received, and takes it in as an
// ordinary webhook. A fault.Conflict says why it is refused still; then it stays, with the
// reason of this time.
func (m *Module) Release(ctx context.Context, quarantineID string) (Released, error) {
	q, err := m.quarantined(ctx, quarantineID)
	if err != nil {
		return Released{}, err
	}
	r, err := m.tryAgain(ctx, q)
	if err != nil {
		return Released{}, m.stays(ctx, q, err)
	}
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.unkeep(ctx, tx, q.Quarantined, "quarantine.released", r.EventID)
	})
	if err != nil && !fault.Is(err, fault.NotFound) { // released twice at once: a duplicate
		return Released{}, err
	}
	return Released{q.ID, r.EventID, r.EventIDs, r.Status, r.Duplicate}, nil
}

// tryAgain takes a request in as if it had come now, but for its time.
func (m *Module) tryAgain(ctx context.Context, q quarantined) (receipt, error) {
	if q.Redacted {
		return receipt{}, fault.Conflict.New("body_not_kept",
			"Its body was not kept, since the integration redacts, so it cannot be verified again; have the provider send it once more.")
	}
	src, err := m.loadSource(ctx, q.Source)
	switch {
	case err != nil:
		return receipt{}, fmt.Errorf("load the source %s: %w", q.Source, err)
	case src == nil:
		return receipt{}, fault.Conflict.New("source_inactive", "The source %s takes no webhooks; enable it first.", q.Source)
	case src.broken != nil:
		return receipt{}, fault.Conflict.Wrap(src.broken, "source_broken", "The source %s cannot be used until its settings are mended.", q.Source)
	}
	req, err := q.request(src, m.d.Sealer.Matches)
	if err != nil {
		return receipt{}, err
	}
	req.Certificate = m.certificates.of(ctx)
	match, err := src.spec.Authenticate(req, src.secretsAt(m.d.Now()))
	if err != nil {
		return receipt{}, err
	}
	if err := m.once(ctx, src, match, req.Body); err != nil {
		return receipt{}, err
	}
	m.matches.add(match.SecretID, req.ReceivedAt)
	if src.spec.Shakes(req) != nil {
		return receipt{}, fault.Conflict.New("handshake", "It is a handshake, which makes no event; have the provider try its address again.")
	}
	events, err := src.spec.Normalize(req)
	if err != nil {
		return receipt{}, err
	}
	kept, err := src.kept(req, events)
	if err != nil {
		return receipt{}, err
	}
	return m.store(ctx, arrival{
		source: src, webhookID: id.New(), secretID: match.SecretID, correlationID: q.CorrelationID, sourceIP: q.SourceIP,
		receivedAt: q.ReceivedAt.Time, kept: kept,
	})
}

const updateQuarantinedSQL = `
UPDATE quarantine SET reason = $2, detail = $3
WHERE  id = $1`

// stays notes why a request is refused still.
func (m *Module) stays(ctx context.Context, q quarantined, err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unauthorized && f.Kind != fault.Invalid {
		return err
	}
	reason, detail := why(f)
	failed := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, updateQuarantinedSQL, q.ID, reason, detail)
		return err
	})
	if failed != nil {
		return failed
	}
	still := fault.Conflict.New(reason, "It is refused still: %s.", detail)
	still.Fields = []fault.Field{{Field: "reason", Message: reason}}
	return still
}

// request is the request as it came, as far as it was kept. A credential that was left out
// comes back where it is one of the source's secrets now.
func (q quarantined) request(src *source, matches func(text, digest string) bool) (provider.Request, error) {
	req := provider.Request{Method: q.Method, URL: q.URL, Header: http.Header{}, Body: q.Body, ReceivedAt: q.ReceivedAt.Time}
	var headers, digests map[string][]string
	if err := json.Unmarshal([]byte(q.Headers), &headers); err != nil {
		return req, fmt.Errorf("read the headers: %w", err)
	}
	if err := json.Unmarshal([]byte(q.Digests), &digests); err != nil {
		return req, fmt.Errorf("read the headers' digests: %w", err)
	}
	for name, values := range headers {
		left := digests[name]
		for _, value := range values {
			if value == secret.Redacted && len(left) > 0 {
				value, left = src.credential(name, left[0], matches), left[1:]
			}
			req.Header.Add(name, value)
		}
	}
	return req, nil
}

// credential is the value of a header whose digest is want, when one of the secrets is
// shown so; else what stands in its place.
func (s *source) credential(header, want string, matches func(text, digest string) bool) string {
	for _, one := range s.secrets {
		shown := []string{one.Value.Reveal()}
		if signer, ok := s.spec.Verify.(provider.Signer); ok {
			blank := provider.Request{Method: http.MethodPost, Header: http.Header{}}
			if signer.SignRequest(&blank, one.Value) == nil {
				shown = append(shown, blank.Header.Get(header))
			}
		}
		for _, value := range shown {
			if matches(value, want) {
				return value
			}
		}
	}
	return secret.Redacted
}
