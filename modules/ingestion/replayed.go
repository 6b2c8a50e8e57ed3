package ingestion

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
)

// PossibleReplays configures the handling of a signed message that was received before under
// another event id, from a provider that does not sign the id.
type PossibleReplays struct {
	Window     time.Duration // how long signatures are remembered; 0 turns detection off
	Quarantine bool          // refuse and quarantine the request; otherwise store and mark it
}

// signatureOf returns a hash of the signed message, which recognises the message when it
// arrives again. It is "" if the signature covers the event's id, or nothing of the request.
// Different encodings of one signature have the same hash.
func signatureOf(spec provider.Spec, match provider.Match) string {
	if !spec.IDUnsigned() || len(match.Message) == 0 {
		return ""
	}
	return hash(match.Message)
}

// signatureClaims returns cache claims that remember, for each signature of the group, the
// ids that it first came with. at holds the index of each claim's webhook.
func (m *Module) signatureClaims(group []verifiedWebhook) (claims []cache.Claim, at []int) {
	if m.cfg.PossibleReplays.Window <= 0 {
		return nil, nil
	}
	for i, w := range group {
		if w.signature == "" {
			continue
		}
		window := m.cfg.PossibleReplays.Window
		if tolerance := w.source.Spec.Tolerance; tolerance > 0 {
			window = min(window, 2*tolerance) // before and after; then the signature has expired
		}
		claims = append(claims, cache.Claim{Key: "signature:" + w.source.Name + ":" + w.signature, Value: w.ids(), TTL: window})
		at = append(at, i)
	}
	return claims, at
}

// ids returns a hash of the keys of all the webhook's events.
func (w verifiedWebhook) ids() string {
	keys := make([]string, len(w.events))
	for i, e := range w.events {
		keys[i] = e.key
	}
	return hash([]byte(strings.Join(keys, "\n")))
}

// markReplays marks the webhooks whose signature was seen before with other ids.
func markReplays(group []verifiedWebhook, at []int, claims []cache.Claim, claimed []cache.Claimed) {
	for n, c := range claimed {
		if !c.Won && c.Value != claims[n].Value {
			group[at[n]].possibleReplay = true
		}
	}
}

// refuses returns why a webhook whose events are new is not stored, or nil: it is a possible replay,
// or its integration wants it in quarantine. Webhooks that an operator releases from there are stored.
func (m *Module) refuses(w verifiedWebhook) error {
	if w.refusal != nil {
		return w.refusal
	}
	if !w.possibleReplay || w.release != nil || !w.source.Spec.QuarantinesReplays(m.cfg.PossibleReplays.Quarantine) {
		return nil
	}
	return provider.Replayed()
}

// selectReplayedSQL looks at a bounded part of the events, whatever their number, and says
// which of them match. The inner conditions follow an index; the outer ones read no further.
const selectReplayedSQL = `
SELECT c.id, c.integration_id, c.source, c.event_type, c.subject, c.received_at, CASE WHEN s.erased_at IS NULL%s THEN 1 ELSE 0 END AS matches
FROM  (SELECT e.id, e.integration_id, e.source, e.event_type, e.subject, e.received_at
       FROM   normalized_events e
       WHERE  (e.received_at, e.id) > ($1, $2) AND e.received_at <= $3%s
       ORDER  BY e.received_at, e.id
       LIMIT  $4) AS c
JOIN   event_states s ON s.event_id = c.id
ORDER  BY c.received_at, c.id`

type replayedRow struct {
	ID            string     `db:"id"`
	IntegrationID string     `db:"integration_id"`
	Source        string     `db:"source"`
	EventType     string     `db:"event_type"`
	Subject       *string    `db:"subject"`
	ReceivedAt    clock.Time `db:"received_at"`
	Matches       int        `db:"matches"`
}

// ReplayPage looks at most at limit events after a position, in the order of their receipt, and
// returns those that match and are not erased.
func (m *Module) ReplayPage(ctx context.Context, want contract.ReplayEvents, after contract.ReplayPosition, upTo time.Time, limit int) (contract.ReplayPage, error) {
	if want.ReceivedTo != nil && want.ReceivedTo.Before(upTo) {
		upTo = *want.ReceivedTo
	}
	args := []any{after.At, after.EventID, upTo, limit}
	arg := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	var inner, outer strings.Builder
	if want.Source != "" {
		inner.WriteString(" AND e.source = " + arg(want.Source))
	}
	switch {
	case want.EventType == "":
	case want.Source == "":
		inner.WriteString(" AND e.event_type = " + arg(want.EventType))
	default:
		outer.WriteString(" AND c.event_type = " + arg(want.EventType))
	}
	if want.Status != "" {
		outer.WriteString(" AND s.status = " + arg(want.Status))
	}
	if want.Subject != "" {
		outer.WriteString(" AND c.subject " + m.d.DB.Dialect.Like + " " + arg(database.Contains(want.Subject)) + ` ESCAPE '\'`)
	}
	if want.Integrations != nil {
		outer.WriteString(" AND c.integration_id IN (")
		for i, integration := range append([]string{noIntegration}, want.Integrations...) {
			outer.WriteString(strings.Repeat(", ", min(i, 1)) + arg(integration))
		}
		outer.WriteString(")")
	}
	var rows []replayedRow
	if err := m.d.DB.Select(ctx, &rows, fmt.Sprintf(selectReplayedSQL, outer.String(), inner.String()), args...); err != nil {
		return contract.ReplayPage{}, fmt.Errorf("look for events to replay: %w", err)
	}
	return replayPage(rows, after, limit), nil
}

// noIntegration is the id of none, so that a list of ids is never empty.
const noIntegration = "00000000-0000-0000-0000-000000000000"

func replayPage(rows []replayedRow, after contract.ReplayPosition, limit int) contract.ReplayPage {
	page := contract.ReplayPage{Last: after, End: len(rows) < limit}
	for _, r := range rows {
		e := contract.ReplayEvent{EventID: r.ID, IntegrationID: r.IntegrationID, Source: r.Source, EventType: r.EventType,
			Subject: r.Subject, ReceivedAt: r.ReceivedAt.Time}
		page.Last = e.At()
		if r.Matches == 1 {
			page.Events = append(page.Events, e)
		}
	}
	return page
}
