package main

import (
	"context"
	"fmt"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

const (
	payloadBytes = 341 // of a webhook's body
	peerEvents   = 10_000
)

// peer is another project's way to store an event that is delivered at once: tables with
// the columns, types and indexes of its published schema, and statements of our own for one
// event, each a transaction, after what its code inserts and updates. Foreign keys are left
// out. The events go through one after another, so that versions are pruned at once: the
// best case.
type peer struct {
	name, source string
	schema       string
	steps        []string // of event n, whose body is in body
}

func peers() []peer { return []peer{convoy, webhookx} }

func peerSources() string {
	var list []string
	for _, p := range peers() {
		list = append(list, p.name+": "+p.source)
	}
	return strings.Join(list, "; ")
}

// convoy stores the body four times: as text and as bytes in the event, and as JSON and as
// text in the delivery's metadata. The indexes are those of a dump of its schema; later
// ones, and the table for searching, which a task fills, are left out.
var convoy = peer{
	name: "Convoy", source: "`sql/` of frain-dev/convoy",
	schema: `
CREATE TABLE events (id varchar PRIMARY KEY, event_type text NOT NULL, endpoints text, project_id varchar NOT NULL, source_id varchar,
    headers jsonb, raw text NOT NULL, data bytea NOT NULL, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz,
    url_query_params varchar, idempotency_key text, is_duplicate_event boolean, acknowledged_at timestamptz, status text, metadata text);
CREATE INDEX ON events (created_at); CREATE INDEX ON events (deleted_at); CREATE INDEX ON events (project_id, deleted_at);
CREATE INDEX ON events (project_id); CREATE INDEX ON events (source_id); CREATE INDEX ON events (idempotency_key);
CREATE INDEX ON events (project_id) WHERE deleted_at IS NULL;
CREATE TABLE events_endpoints (event_id varchar NOT NULL, endpoint_id varchar NOT NULL);
CREATE INDEX ON events_endpoints (event_id); CREATE INDEX ON events_endpoints (endpoint_id);
CREATE TABLE event_deliveries (id varchar PRIMARY KEY, status text NOT NULL, description text NOT NULL, project_id varchar NOT NULL,
    endpoint_id varchar, event_id varchar NOT NULL, device_id varchar, subscription_id varchar NOT NULL, metadata jsonb NOT NULL,
    headers jsonb, attempts bytea, cli_metadata jsonb, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz,
    url_query_params varchar, idempotency_key text, latency text, event_type text, acknowledged_at timestamptz, latency_seconds numeric);
CREATE INDEX ON event_deliveries (event_type); CREATE INDEX ON event_deliveries (created_at); CREATE INDEX ON event_deliveries (deleted_at);
CREATE INDEX ON event_deliveries (device_id); CREATE INDEX ON event_deliveries (endpoint_id); CREATE INDEX ON event_deliveries (event_id);
CREATE INDEX ON event_deliveries (project_id); CREATE INDEX ON event_deliveries (status);
CREATE TABLE delivery_attempts (id varchar PRIMARY KEY, url text NOT NULL, method varchar NOT NULL, api_version varchar NOT NULL,
    project_id varchar NOT NULL, endpoint_id varchar NOT NULL, event_delivery_id varchar NOT NULL, ip_address varchar,
    request_http_header jsonb, response_http_header jsonb, http_status varchar, response_data bytea, error text, status boolean,
    created_at timestamptz, updated_at timestamptz, deleted_at timestamptz);
CREATE INDEX ON delivery_attempts (created_at); CREATE INDEX ON delivery_attempts (event_delivery_id);
CREATE INDEX ON delivery_attempts (event_delivery_id, created_at);`,
	steps: []string{
		`INSERT INTO events SELECT 'EVT' || id, 'order.created', '{' || id_of_one || '}', id_of_one, id_of_one, headers, body, convert_to(body, 'UTF8'),
		     now(), now(), NULL, '', id, false, now(), 'Pending', '{}' FROM row_of(n);`,
		`INSERT INTO events_endpoints SELECT 'EVT' || id, id_of_one FROM row_of(n);`,
		`INSERT INTO event_deliveries SELECT 'DLV' || id, 'Scheduled', '', id_of_one, id_of_one, 'EVT' || id, NULL, id_of_one,
		     jsonb_build_object('data', body::jsonb, 'raw', body, 'strategy', 'linear', 'next_send_time', now(), 'num_trials', 0,
		         'interval_seconds', 10, 'retry_limit', 3, 'max_retry_seconds', 0),
		     headers, NULL, NULL, now(), now(), NULL, '', id, NULL, 'order.created', now(), NULL FROM row_of(n);`,
		`UPDATE event_deliveries SET status = 'Processing', updated_at = now() WHERE event_deliveries.id = (SELECT 'DLV' || id FROM row_of(n));`,
		`INSERT INTO delivery_attempts SELECT 'ATT' || id, 'http://127.0.0.1:9000/acme', 'POST', '2024-04-01', id_of_one, id_of_one, 'DLV' || id,
		     '127.0.0.1', headers, answered, '200 OK', '', '', true, now(), now(), NULL FROM row_of(n);`,
		`UPDATE event_deliveries SET status = 'Success', metadata = jsonb_set(metadata, '{num_trials}', '1'), latency_seconds = 0.01, updated_at = now()
		     WHERE event_deliveries.id = (SELECT 'DLV' || id FROM row_of(n));`,
		`UPDATE events SET status = 'Success', updated_at = now() WHERE events.id = (SELECT 'EVT' || id FROM row_of(n));`,
	},
}

// webhookx writes an attempt when it takes an event, and its request's and response's text
// with the outcome.
var webhookx = peer{
	name: "WebhookX", source: "`db/migrations/` of webhookx-io/webhookx",
	schema: `
CREATE TABLE events (id text PRIMARY KEY, data jsonb NOT NULL, event_type text NOT NULL, ws_id text, created_at timestamptz(3), updated_at timestamptz(3),
    ingested_at timestamptz(3), unique_id varchar(50));
CREATE INDEX ON events (ws_id); CREATE UNIQUE INDEX ON events (unique_id); CREATE INDEX ON events (created_at);
CREATE TABLE attempts (id text PRIMARY KEY, event_id text, endpoint_id text, status varchar(20) NOT NULL, attempt_number smallint NOT NULL,
    scheduled_at timestamptz(3), attempted_at timestamptz(3), error_code varchar(30), request jsonb, response jsonb, ws_id text,
    created_at timestamptz(3), updated_at timestamptz(3), trigger_mode varchar(10) NOT NULL, exhausted boolean NOT NULL);
CREATE INDEX ON attempts (event_id); CREATE INDEX ON attempts (endpoint_id); CREATE INDEX ON attempts (ws_id); CREATE INDEX ON attempts (status);
CREATE INDEX ON attempts (created_at);
CREATE TABLE attempt_details (id text PRIMARY KEY, request_headers text, request_body text, response_headers text, response_body text, ws_id text,
    created_at timestamptz(3), updated_at timestamptz(3));`,
	steps: []string{
		`INSERT INTO events SELECT 'evt_' || id, body::jsonb, 'order.created', 'ws_' || id_of_one, now(), now(), now(), 'evt-' || n FROM row_of(n);
		 INSERT INTO attempts SELECT 'atm_' || id, 'evt_' || id, 'ep_' || id_of_one, 'INIT', 1, now(), NULL, NULL, NULL, NULL, 'ws_' || id_of_one,
		     now(), now(), 'INITIAL', false FROM row_of(n);`,
		`UPDATE attempts SET status = 'QUEUED', updated_at = now() WHERE attempts.id = (SELECT 'atm_' || id FROM row_of(n)) AND status = 'INIT';`,
		`UPDATE attempts SET request = '{"url": "http://127.0.0.1:9000/acme", "method": "POST"}', response = '{"status": 200, "latency": 10}',
		     attempted_at = now(), status = 'SUCCESSFUL', exhausted = false, updated_at = now() WHERE attempts.id = (SELECT 'atm_' || id FROM row_of(n));`,
		`INSERT INTO attempt_details SELECT 'atm_' || id, headers::text, body, answered::text, '', 'ws_' || id_of_one, now(), now() FROM row_of(n);`,
	},
}

// rowOfSQL makes what the steps read of event n. An id has the length and the order of a
// ULID; id_of_one is that of what there is one of, like a project.
const rowOfSQL = `
CREATE FUNCTION row_of(n int) RETURNS TABLE (id text, id_of_one text, body text, headers jsonb, answered jsonb) LANGUAGE sql IMMUTABLE AS $row$
    SELECT '01JDQ' || lpad(n::text, 9, '0') || upper(left(md5(n::text), 12)), '01JDP000000000000000000001', replace('%s', '%s', lpad(n::text, %d, '0')),
           jsonb_build_object('Content-Type', jsonb_build_array('application/json'), 'User-Agent', jsonb_build_array('Go-http-client/1.1'),
               'X-Acme-Signature', jsonb_build_array(md5(n::text) || md5((n + 1)::text))),
           '{"Date": ["Mon, 05 Jan 2026 09:00:00 GMT"], "Content-Length": ["0"]}'::jsonb
$row$`

// measurePeer writes the rows of events as a peer does, and measures them.
func (b *bench) measurePeer(ctx context.Context, p peer, events int) (s storage, err error) {
	g := gateway{servers: b.servers, name: "bench_peer_" + strings.ToLower(p.name)}
	if err := g.admin(ctx, "CREATE DATABASE "+g.name); err != nil {
		return s, err
	}
	defer func() {
		err = firstOf(err, g.admin(context.WithoutCancel(ctx), "DROP DATABASE "+g.name+" WITH (FORCE)"))
	}()
	pool, err := openAdminOn(b.servers, g.name)
	if err != nil {
		return s, err
	}
	defer func() { _ = pool.Close() }()
	body, err := peerBody()
	if err != nil {
		return s, err
	}
	run := func(statement string) error {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	}
	if err := firstOf(run(p.schema), run(fmt.Sprintf(rowOfSQL, body, strings.Repeat("0", digits), digits)), run("ALTER DATABASE "+g.name+" SET synchronous_commit = off")); err != nil {
		return s, err
	}
	u, err := databaseURL(b.servers, g.name)
	if err != nil {
		return s, err
	}
	records, err := database.Open(database.Config{URL: u}, clock.System)
	if err != nil {
		return s, err
	}
	defer func() { err = firstOf(err, records.Close()) }()
	checkpoint := func() error { return run("CHECKPOINT") }
	before, err := footprintOf(ctx, records, checkpoint)
	if err != nil {
		return s, err
	}
	pool.SetMaxIdleConns(0) // a session reports its statistics when it ends
	if err := run(p.script(events)); err != nil {
		return s, err
	}
	after, err := footprintOf(ctx, records, checkpoint)
	return between(before, after, events), err
}

// script sends so many events through the peer's tables, each step in a transaction.
func (p peer) script(events int) string {
	return fmt.Sprintf("DO $do$ BEGIN FOR n IN 1..%d LOOP\n%s\nCOMMIT; END LOOP; END $do$", events, strings.Join(p.steps, "\nCOMMIT;\n"))
}

// peerBody is the body of the webhook that the benchmark sends.
func peerBody() (string, error) {
	t, err := newTemplate("127.0.0.1", "bench1-1", payloadBytes, 0)
	return string(t.text[t.body:]), err
}
