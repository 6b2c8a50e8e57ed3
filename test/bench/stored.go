package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const (
	fewStored      = 10_000 // the basis of the comparison
	fillAtOnce     = 100_000
	commitOfStored = 25              // events in one group of audit entries
	listRequests   = 60              // of each list, sequentially
	listTime       = 6 * time.Second // no further request of a list after it
	listTimeout    = 2 * time.Minute
)

// fillSQL writes the rows of events number $1 to $2 as if they had been delivered within
// the last hour. An id is a UUIDv7 with its number's time; the three digits
// after its head distinguish the ids of one number.
const fillSQL = `
WITH n AS (
    SELECT i, at, lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0') || '8' AS head,
           lpad(to_hex(i), 12, '0') AS tail
    FROM   generate_series(%[1]d, %[2]d) AS i, LATERAL (SELECT now() - interval '1 hour' + i * interval '1 hour' / %[3]d AS at) AS t
), e AS MATERIALIZED (
    SELECT i, at, (head || '001' || tail)::uuid AS webhook_id, (head || '002' || tail)::uuid AS event_id,
           (head || '003' || tail)::uuid AS job_id, (head || '004' || tail)::uuid AS attempt_id, head, tail,
           CASE WHEN i %% 1000 = 0 THEN 'failed' ELSE 'processed' END AS status, g.id AS integration_id, d.id AS destination_id
    FROM   n, integrations g JOIN destinations d ON d.integration_id = g.id
    WHERE  g.source = 'acme'
), webhooks AS (
    INSERT INTO webhook_events (id, request_headers, raw_body, source_ip)
    SELECT webhook_id, '{"content-type":["application/json"]}',
           convert_to(rpad('{"eventId":"stored-' || i || '","note":"', 338, 'x') || '"}', 'UTF8'), '127.0.0.1'
    FROM   e
), keys AS (
    INSERT INTO idempotency_keys (idempotency_key, event_id)
    SELECT 'acme:stored-' || i, event_id FROM e
), events AS (
    INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, external_event_id, event_type, subject,
           occurred_at, normalized_payload, correlation_id, received_at, created_at)
    SELECT event_id, webhook_id, integration_id, 'acme', 'acme', 'stored-' || i, 'order.' || i %% 20, 'ord_' || i, at,
           convert_to(rpad('{"externalEventId":"stored-' || i || '","note":"', 298, 'x') || '"}', 'UTF8'), 'stored-' || i, at, at
    FROM   e
), states AS (
    INSERT INTO event_states (event_id, status, processing_attempts, last_processed_at, received_at, updated_at)
    SELECT event_id, status, 1, at, at, at FROM e
), jobs AS (
    INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start, parked,
           started_at, completed_at, created_at)
    SELECT job_id, event_id, destination_id, 'webhook', CASE status WHEN 'failed' THEN 'failed' ELSE 'succeeded' END, 1, 0, false, at, at, at
    FROM   e
), attempts AS (
    INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, http_status,
           response_body, duration_ms, created_at)
    SELECT attempt_id, event_id, destination_id, job_id, 1, CASE status WHEN 'failed' THEN 'failed' ELSE 'success' END,
           CASE status WHEN 'failed' THEN 410 ELSE 200 END, '', 1, at
    FROM   e
), dead AS (
    INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, source, provider, event_type, reason, attempts, status, created_at)
    SELECT job_id, 'exhausted', 'ig.events.process', event_id, destination_id, job_id, 'acme', 'acme', 'order.' || i %% 20, 'HTTP 500', 3,
           CASE WHEN i %% 1000 = 0 THEN 'open' ELSE 'requeued' END, at
    FROM   e
    WHERE  i %% 10 = 0
), replays AS (
    INSERT INTO replay_requests (id, normalized_event_id, integration_id, only_failed, requested_by, reason, actor, status, created_at)
    SELECT job_id, event_id, integration_id, false, 'bench', 'stored', 'bench', CASE WHEN i %% 1000 = 0 THEN 'failed' ELSE 'completed' END, at
    FROM   e
    WHERE  i %% 10 = 0
)
INSERT INTO audit_groups (id, received, normalized, queued, processed, entities, created_at, entries)
SELECT (min(head) || CASE WHEN outcome THEN '006' ELSE '005' END || left(min(tail), 8) || '0000')::uuid,
       count(*) FILTER (WHERE k = 1), count(*) FILTER (WHERE k = 2), count(*) FILTER (WHERE k = 3), count(*) FILTER (WHERE k = 4),
       decode(string_agg(right(replace(entity_id::text, '-', ''), 8), '' ORDER BY i, k) FILTER (WHERE k <> 3), 'hex'), max(at),
       '[' || string_agg('["' || action || '","' || entity_id || '",' || rpad('{"correlationId":"stored-' || i || '","note":"', 198, 'x') || '"}]',
                         ',' ORDER BY i, k) || ']'
FROM   (SELECT i, at, head, tail, k, action, k = 4 AS outcome, CASE k WHEN 1 THEN webhook_id ELSE event_id END AS entity_id
        FROM   e, (VALUES (1, 'webhook.received'), (2, 'event.normalized'), (3, 'event.queued'), (4, 'event.processed')) AS a (k, action)) AS x
GROUP  BY outcome, i / %[4]d`

// fill stores the events of numbers first to last, so many per hour, and leaves the tables
// as after PostgreSQL's regular maintenance.
func (b *bench) fill(ctx context.Context, g *gateway, first, last, inAnHour int) error {
	pool, err := openAdminOn(g.servers, g.name)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	bounded, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for from := first; from <= last; from += fillAtOnce {
		to := min(from+fillAtOnce-1, last)
		if _, err := pool.ExecContext(bounded, fmt.Sprintf(fillSQL, from, to, inAnHour, commitOfStored)); err != nil {
			return fmt.Errorf("store events %d to %d: %w", from, to, err)
		}
		b.say("  %d events stored", to)
	}
	for _, statement := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := pool.ExecContext(bounded, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// storedResult holds the measurements with so many stored events.
type storedResult struct {
	events   int
	accepted float64 // a second
	lists    []pageTime
}

// measureStored measures with few and with many stored events.
func (b *bench) measureStored(ctx context.Context, w workload, many int) (list []storedResult, err error) {
	w.setup, w.mode, w.loop, w.rate = onServers, accept, closed, 0
	b.turn++
	g, err := b.install(ctx, w, b.turn)
	defer func() { err = firstOf(err, g.remove(context.WithoutCancel(ctx))) }()
	if err != nil {
		return nil, err
	}
	stored := 0
	for _, n := range []int{fewStored, many} {
		if err := b.fill(ctx, g, stored+1, n, many); err != nil {
			return nil, err
		}
		stored = n
		s := storedResult{events: n}
		names, err := g.examples(ctx, n)
		if err != nil {
			return nil, err
		}
		for _, l := range lists() {
			took, err := g.timeList(ctx, l, names, n)
			if err != nil {
				return nil, err
			}
			s.lists = append(s.lists, took)
		}
		for range w.repeats {
			storm, err := b.startLoad(ctx, w, g.addr, func() []meter { return nil })
			if err != nil {
				return nil, err
			}
			s.accepted = max(s.accepted, storm.measured().acceptRate)
			storm.load.close()
		}
		b.say("  %d stored: %.0f/s accepted", n, s.accepted)
		list = append(list, s)
	}
	return list, ctx.Err()
}

// examples fills the placeholders of a list's filter from the event in the middle.
func (g *gateway) examples(ctx context.Context, stored int) (*strings.Replacer, error) {
	_, events, err := g.page(ctx, fmt.Sprintf("events?externalEventId=stored-%d", stored/2))
	if err != nil {
		return nil, err
	}
	if len(events.Data) != 1 {
		return nil, fmt.Errorf("%d events have one external id", len(events.Data))
	}
	e := events.Data[0]
	_, deliveries, err := g.page(ctx, "deliveries?eventId="+e.ID)
	if err != nil {
		return nil, err
	}
	if len(deliveries.Data) != 1 {
		return nil, fmt.Errorf("event %s has %d deliveries", e.ID, len(deliveries.Data))
	}
	return strings.NewReplacer("MIDDLE", url.QueryEscape(e.OccurredAt), "EVENT", e.ID, "DESTINATION", deliveries.Data[0].DestinationID), nil
}

// scales formats the measurements with few and with many stored events.
func scales(list []storedResult) string {
	few, many := list[0], list[1]
	var b strings.Builder
	fmt.Fprintf(&b, "With %d events stored, and with %d, after VACUUM (ANALYZE) and CHECKPOINT; lists: median and 95th percentile of up to "+
		"%d requests, and the ratio of the medians.\n\n"+
		"| what | %[1]d stored | %[2]d stored | ratio |\n| --- | ---: | ---: | ---: |\n", few.events, many.events, listRequests)
	fmt.Fprintf(&b, "| accepted/s, without a worker | %.0f | %.0f | %.2f |\n", few.accepted, many.accepted, many.accepted/few.accepted)
	for i, l := range lists() {
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f |\n", l, few.lists[i], many.lists[i], float64(many.lists[i].p50)/float64(few.lists[i].p50))
	}
	return b.String()
}
