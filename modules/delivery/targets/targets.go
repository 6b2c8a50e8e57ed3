// Package targets finds the deliveries that a bulk replay selects: pairs of an event and a
// destination, by the jobs and attempts that delivery owns. It only reads.
package targets

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// wentToSQL are the destinations that the events of v went to; givenSQL is one for all of them;
// eachSQL is for events that go to no destination.
const (
	wentToSQL = `SELECT DISTINCT j.normalized_event_id AS event_id, j.destination_id
       FROM   v JOIN processing_jobs j ON j.normalized_event_id = v.id
       WHERE  j.destination_id IS NOT NULL`
	givenSQL = `SELECT v.id AS event_id, d.id AS destination_id
       FROM   v JOIN destinations d ON v.id IS NOT NULL AND d.id = `
	eachSQL   = `SELECT v.id AS event_id, v.id AS destination_id FROM v WHERE v.id IS NOT NULL`
	selectSQL = `
SELECT t.event_id, t.destination_id
FROM  (%s) AS t
WHERE  %s
ORDER  BY t.event_id, t.destination_id`
)

const (
	currentSQL = `EXISTS (SELECT 1 FROM destinations d WHERE d.id = t.destination_id AND d.archived_at IS NULL)`
	// The live job tells what becomes of a delivery, else the last one.
	failedSQL = `(SELECT j.status FROM processing_jobs j
       WHERE j.normalized_event_id = t.event_id AND j.destination_id = t.destination_id
       ORDER BY CASE WHEN j.completed_at IS NULL THEN 0 ELSE 1 END, j.id DESC LIMIT 1) = 'failed'`
	deliveredSQL = `EXISTS (SELECT 1 FROM delivery_attempts a
       WHERE a.normalized_event_id = t.event_id AND a.destination_id = t.destination_id AND a.status = 'success'%s)`
)

type target struct {
	EventID       string `db:"event_id"`
	DestinationID string `db:"destination_id"`
}

// Of returns the selected deliveries of these events by event, those of an event by destination;
// for a place that is no destination "" for each selected event.
func Of(ctx context.Context, db *database.DB, want contract.ReplayDeliveries, eventIDs []string) (map[string][]string, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	from, where, args := conditions(want)
	var list []target
	if err := db.SelectRows(ctx, &list, database.IDs(eventIDs), fmt.Sprintf(selectSQL, from, where), args...); err != nil {
		return nil, fmt.Errorf("look for deliveries to replay: %w", err)
	}
	byEvent := make(map[string][]string, len(eventIDs))
	for _, t := range list {
		to := t.DestinationID
		switch {
		case want.Once:
			byEvent[t.EventID] = []string{""}
			continue
		case want.To != "":
			to = want.To
		}
		byEvent[t.EventID] = append(byEvent[t.EventID], to)
	}
	return byEvent, nil
}

func conditions(want contract.ReplayDeliveries) (from, where string, args []any) {
	arg := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	from = wentToSQL
	var list []string
	switch {
	case want.Of != "":
		from += " AND j.destination_id = " + arg(want.Of)
	case want.Once && !want.OnlyFailed && !want.OnlyNeverDelivered && want.DeliveredFrom == nil && want.DeliveredTo == nil:
		from = eachSQL
	case want.To != "" && !want.Once:
		from = givenSQL + arg(want.To)
	}
	if want.To == "" && !want.Once {
		list = append(list, currentSQL)
	}
	if want.OnlyFailed {
		list = append(list, failedSQL)
	}
	if want.OnlyNeverDelivered {
		list = append(list, "NOT "+fmt.Sprintf(deliveredSQL, ""))
	}
	if want.DeliveredFrom != nil || want.DeliveredTo != nil {
		window := ""
		if want.DeliveredFrom != nil {
			window += " AND a.created_at >= " + arg(*want.DeliveredFrom)
		}
		if want.DeliveredTo != nil {
			window += " AND a.created_at <= " + arg(*want.DeliveredTo)
		}
		list = append(list, fmt.Sprintf(deliveredSQL, window))
	}
	if len(list) == 0 {
		list = []string{"1 = 1"}
	}
	return from, strings.Join(list, " AND "), args
}
