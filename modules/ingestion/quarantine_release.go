package ingestion

import (
	"context"
	"fmt"
	"slices"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// Released is the result of releasing a request from quarantine.
type Released struct {
	QuarantineID string   `json:"quarantineId"`
	EventID      string   `json:"eventId"`
	EventIDs     []string `json:"eventIds,omitempty"`
	Status       string   `json:"status"`
	Duplicate    bool     `json:"duplicate"`
}

// Release verifies a refused request again and accepts it like any webhook. It uses the
// integration's current secrets and options, and compares the signed time with the time of
// receipt. A fault.Conflict says why the request is still refused; it then stays in
// quarantine with the new reason.
func (m *Module) Release(ctx context.Context, quarantineID string) (Released, error) {
	q, err := m.quarantined(ctx, quarantineID)
	if err != nil {
		return Released{}, err
	}
	w := m.newWay(m.d.Now())
	r, err := m.receiveAgain(ctx, q, &w)
	if err != nil {
		return Released{}, m.recordRefusal(ctx, q, err)
	}
	w.receipt = r
	m.traceRelease(&w, q.Source)
	if r.Duplicate { // which the commit may not have been needed for
		err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
			return m.removeFromQuarantine(ctx, tx, q.Quarantined, "quarantine.released", r.EventID)
		})
		if err != nil && !fault.Is(err, fault.NotFound) {
			return Released{}, err
		}
	}
	return Released{q.ID, r.EventID, r.EventIDs, r.Status, r.Duplicate}, nil
}

// receiveAgain processes a request as if it had just arrived, except for its time of receipt.
func (m *Module) receiveAgain(ctx context.Context, q quarantined, w *way) (receipt, error) {
	if q.Redacted {
		return receipt{}, fault.Conflict.New("body_not_kept",
			"Its body was not stored, because the integration redacts fields, so it cannot be verified again. Have the provider send it again.")
	}
	now, err := m.d.Sources.SourceNow(ctx, q.Source)
	if err != nil {
		return receipt{}, err
	}
	src := m.withOwnSecrets(now)
	req, err := q.request(src, m.d.Digester)
	if err != nil {
		return receipt{}, err
	}
	req.Certificate, req.KeySet = m.certificates.forClient(ctx, "release"), m.keySetFor(ctx, src)
	w.note(&w.verifies)
	match, err := src.Spec.Authenticate(req, src.SecretsAt(m.d.Now()))
	if err != nil {
		return receipt{}, err
	}
	w.note(&w.verified)
	if err := m.checkSingleUse(ctx, src, match, req.Body); err != nil {
		return receipt{}, err
	}
	m.d.Sources.Matched(match.SecretID, req.ReceivedAt)
	req.Keys = src.SecretsAt(m.d.Now())
	if src.Spec.HandshakeReply(req) != nil {
		return receipt{}, fault.Conflict.New("handshake", "It is a handshake and makes no event. Have the provider repeat it.")
	}
	req.SignedID = match.SignedID
	events, err := src.Spec.Normalize(req)
	if err != nil {
		return receipt{}, err
	}
	if len(events) == 0 {
		return receipt{}, fault.Conflict.New("empty_batch", "It is an empty batch and makes no event; delete it.")
	}
	payload, err := src.payload(req, events, false)
	if err != nil {
		return receipt{}, err
	}
	return m.store(ctx, verifiedWebhook{
		source: src, webhookID: id.New(), secretID: match.SecretID, correlationID: q.CorrelationID, sourceIP: q.SourceIP,
		receivedAt: q.ReceivedAt.Time, signature: signatureOf(src.Spec, match), release: &release{q.Quarantined, httpapi.Actor(ctx)}, storedPayload: payload,
	}, w)
}

// release is the request in quarantine that a webhook was made of.
type release struct {
	Quarantined
	actor string // who released it
}

const lockQuarantinedSQL = `
SELECT q.id
FROM   quarantine q
WHERE  q.id IN (SELECT id FROM v)
ORDER  BY q.id`

// takeReleased removes the released requests of a group from quarantine, and returns the webhooks
// that are stored for it. One whose request is no longer there is withheld: an erasure, an operator
// or another release was first. So is one that an erasure would have found.
func (m *Module) takeReleased(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook) (kept []verifiedWebhook, withheld map[string]error, err error) {
	withheld = map[string]error{}
	var sources, ids []string
	since := tx.Now
	for _, w := range webhooks {
		if w.release != nil {
			sources, ids = append(sources, w.source.Name), append(ids, w.release.ID)
			if w.receivedAt.Before(since) {
				since = w.receivedAt
			}
		}
	}
	marks, err := lockMarks(ctx, tx, sources, since)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(ids)
	var there []string
	if err := tx.SelectRows(ctx, &there, database.IDs(slices.Compact(ids)), lockQuarantinedSQL+tx.Dialect.ForUpdate); err != nil {
		return nil, nil, fmt.Errorf("look for released requests: %w", err)
	}
	var taken []string
	for _, w := range webhooks {
		switch {
		case w.release == nil:
		case !slices.Contains(there, w.release.ID):
			withheld[w.webhookID] = notQuarantined(w.release.ID)
		default:
			withheld[w.webhookID] = m.erasedRelease(marks, w)
		}
		if withheld[w.webhookID] != nil {
			continue
		}
		if kept = append(kept, w); w.release != nil {
			taken = append(taken, w.release.ID)
		}
	}
	if len(taken) == 0 {
		return kept, withheld, nil
	}
	if _, err := tx.ExecRows(ctx, database.IDs(taken), `DELETE FROM quarantine WHERE id IN (SELECT id FROM v)`); err != nil {
		return nil, nil, fmt.Errorf("remove released requests from quarantine: %w", err)
	}
	return kept, withheld, nil
}

// auditReleased audits the releases of stored webhooks, each request once.
func (m *Module) auditReleased(ctx context.Context, tx *database.Tx, stored []verifiedWebhook, at map[string]keyOwner) error {
	done := map[string]bool{}
	for _, w := range stored {
		if w.release == nil || done[w.release.ID] {
			continue
		}
		done[w.release.ID] = true
		err := m.auditQuarantine(httpapi.WithActor(ctx, w.release.actor), tx, w.release.Quarantined, "quarantine.released", at[w.events[0].key].eventID)
		if err != nil {
			return err
		}
	}
	return nil
}

// addOwners adds the owners of those keys that at lacks, if there are any.
func addOwners(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook, at map[string]keyOwner) error {
	rows := database.NewRows("idempotency_key text")
	for _, w := range webhooks {
		for _, e := range w.events {
			if _, known := at[e.key]; !known {
				rows.Add(e.key)
			}
		}
	}
	if rows.Len() == 0 {
		return nil
	}
	var known []keyRow
	if err := tx.SelectRows(ctx, &known, rows, selectKeysSQL); err != nil {
		return fmt.Errorf("look up the keys of released requests: %w", err)
	}
	for _, k := range known {
		at[k.Key] = keyOwner{k.EventID, k.CorrelationID}
	}
	return nil
}

const updateQuarantinedSQL = `
UPDATE quarantine SET reason = $2, detail = $3
WHERE  id = $1`

// recordRefusal stores why a request is still refused.
func (m *Module) recordRefusal(ctx context.Context, q quarantined, err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unauthorized && f.Kind != fault.Invalid {
		return err
	}
	reason, detail := refusalReason(f)
	failed := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, updateQuarantinedSQL, q.ID, reason, detail)
		return err
	})
	if failed != nil {
		return failed
	}
	still := fault.Conflict.New(reason, "Still refused: %s.", detail)
	still.Fields = []fault.Field{{Field: "reason", Message: reason}}
	return still
}
