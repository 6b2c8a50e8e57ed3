package ingestion

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

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
