-- Wide rows are written once; rows that change are narrow (event_states, processing_jobs).
-- Keys of an event's child rows start with the event's id, so that its rows are stored together.

CREATE TABLE installation (
    id         text        NOT NULL PRIMARY KEY,
    created_at timestamp NOT NULL
);

INSERT INTO installation (id, created_at) VALUES (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))), strftime('%Y-%m-%d %H:%M:%f+00:00', 'now'));

CREATE TABLE integrations (
    id                    text        NOT NULL PRIMARY KEY,
    source                text        NOT NULL UNIQUE,
    provider              text        NOT NULL,
    name                  text        NOT NULL,
    is_active             boolean     NOT NULL,
    rate_limit_per_minute integer,
    max_body_bytes        integer,
    options               text        NOT NULL DEFAULT '{}',
    redact                text        NOT NULL DEFAULT '[]',
    archived_at           timestamp,
    created_at            timestamp NOT NULL,
    updated_at            timestamp NOT NULL,
    revision integer NOT NULL DEFAULT (abs(random() % 1099511627776))
);

CREATE TABLE integration_secrets (
    id             text        NOT NULL PRIMARY KEY,
    integration_id text        NOT NULL REFERENCES integrations (id),
    secret         text        NOT NULL,
    is_active      boolean     NOT NULL,
    purpose        text        NOT NULL DEFAULT 'signing' CHECK (purpose IN ('signing', 'token', 'challenge')),
    note           text        NOT NULL DEFAULT '',
    expires_at     timestamp,
    match_count    integer     NOT NULL DEFAULT 0,
    last_matched_at timestamp,
    created_at     timestamp NOT NULL,
    revision integer NOT NULL DEFAULT (abs(random() % 1099511627776))
);

CREATE INDEX integrations_revision ON integrations (id, revision);
CREATE INDEX integration_secrets_integration ON integration_secrets (integration_id, revision);

-- Each change of an integration, of a secret's verification, or of a destination draws a new revision, from which
-- processes see which rows they have to read again.
CREATE TRIGGER integrations_revision AFTER UPDATE ON integrations WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE integrations SET revision = abs(random() % 1099511627776) WHERE id = NEW.id;
END;

CREATE TRIGGER integration_secrets_revision AFTER UPDATE OF integration_id, secret, is_active, expires_at ON integration_secrets
BEGIN
    UPDATE integration_secrets SET revision = abs(random() % 1099511627776) WHERE id = NEW.id;
END;

-- headers, auth and tls are sealed, like the secrets. wants_all_since: when its last filter was removed; earlier
-- events may have no job for it. open_jobs: what happens to its open jobs after it is archived.
CREATE TABLE destinations (
    id             text        NOT NULL PRIMARY KEY,
    integration_id text        NOT NULL REFERENCES integrations (id),
    url            text        NOT NULL,
    is_active      boolean     NOT NULL,
    mode           text        NOT NULL DEFAULT 'canonical' CHECK (mode IN ('canonical', 'raw')),
    filter         text,
    transform      text,
    headers        text,
    auth           text,
    tls            text,
    signing_secret text        NOT NULL,
    old_secret     text,
    old_secret_until timestamp,
    timeout_ms     integer,
    max_attempts   integer,
    retry_base_ms  integer,
    retry_cap_ms   integer,
    concurrency    integer,
    rate_per_second integer,
    trace_propagation boolean NOT NULL DEFAULT false,
    wants_all_since timestamp,
    archived_at    timestamp,
    open_jobs      text CHECK (open_jobs IN ('finish', 'cancel')),
    created_at     timestamp NOT NULL,
    updated_at     timestamp NOT NULL,
    revision       integer NOT NULL DEFAULT (abs(random() % 1099511627776))
);

CREATE INDEX destinations_integration ON destinations (integration_id);
CREATE INDEX destinations_revision ON destinations (id, revision);

CREATE TRIGGER destinations_revision AFTER UPDATE ON destinations WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE destinations SET revision = abs(random() % 1099511627776) WHERE id = NEW.id;
END;

-- The circuit breaker of a destination that is considered down; a breaker without a row is closed.
CREATE TABLE destination_breakers (
    destination_id text NOT NULL PRIMARY KEY REFERENCES destinations (id),
    state          text NOT NULL CHECK (state IN ('open', 'half_open')),
    until          timestamp NOT NULL,
    trips          integer NOT NULL,
    opened_at      timestamp NOT NULL
);

-- Headers that many webhooks of a source have in common. id is made of the content. Rows are never changed nor removed.
CREATE TABLE header_sets (
    id         integer NOT NULL PRIMARY KEY,
    source     text NOT NULL,
    headers    blob NOT NULL,
    created_at timestamp NOT NULL
) WITHOUT ROWID;

CREATE INDEX header_sets_source ON header_sets (source);

-- What a webhook shares with its events (integration, source, correlation id, time of receipt) is in their rows.
-- idempotency_key is null where the row of the only event yields it and external_event_id.
CREATE TABLE webhook_events (
    id                text        NOT NULL PRIMARY KEY,
    external_event_id text,
    idempotency_key   text,
    header_set_id     integer,    -- what request_headers differ from; null if they are complete
    request_headers   blob        NOT NULL,
    raw_body          blob       NOT NULL,
    body_state        text        NOT NULL DEFAULT 'exact' CHECK (body_state IN ('exact', 'redacted', 'erased')),
    possible_replay   boolean     NOT NULL DEFAULT false,
    source_ip         text        NOT NULL
);

-- Events that came again in a webhook that was stored for other events: its body has their data too.
CREATE TABLE webhook_repeats (
    event_id         text NOT NULL,
    webhook_event_id text NOT NULL,
    PRIMARY KEY (event_id, webhook_event_id)
);

CREATE INDEX webhook_repeats_webhook ON webhook_repeats (webhook_event_id);

-- Refused requests, kept for a time, with everything that their verification needs (a token as a keyed hash).
-- raw_body is gzip if packed; fingerprint identifies repeated requests; stored: the row's size for the limits.
CREATE TABLE quarantine (
    id              text NOT NULL PRIMARY KEY,
    source          text NOT NULL,
    integration_id  text NOT NULL,
    provider        text NOT NULL,
    reason          text NOT NULL,
    detail          text NOT NULL,
    method          text NOT NULL,
    url             text NOT NULL,
    request_headers text NOT NULL,
    header_digests  text NOT NULL,
    raw_body        blob NOT NULL,
    size            integer NOT NULL,
    packed          boolean NOT NULL DEFAULT false,
    redacted        boolean NOT NULL DEFAULT false,
    fingerprint     text,
    repeats         integer NOT NULL DEFAULT 0,
    stored          integer NOT NULL DEFAULT 0,
    external_event_id text,
    source_ip       text NOT NULL,
    correlation_id  text NOT NULL,
    received_at     timestamp NOT NULL,
    last_received_at timestamp
);

CREATE UNIQUE INDEX quarantine_repeats ON quarantine (source, fingerprint);

CREATE INDEX quarantine_source ON quarantine (source, id);
CREATE INDEX quarantine_reason ON quarantine (reason, id);
CREATE INDEX quarantine_received ON quarantine (received_at);
CREATE INDEX quarantine_external ON quarantine (external_event_id);

-- Counts of refused requests to known sources that are not, or no longer, in quarantine, by hour and cause.
CREATE TABLE quarantine_drops (
    source   text NOT NULL,
    hour     timestamp NOT NULL,
    cause    text NOT NULL,
    requests integer NOT NULL,
    bytes    integer NOT NULL,
    PRIMARY KEY (source, hour, cause)
);

-- When an erasure last searched the quarantine of a source, or of all ('').
CREATE TABLE quarantine_erasures (
    source    text NOT NULL PRIMARY KEY,
    erased_at timestamp NOT NULL
);

CREATE TABLE idempotency_keys (
    idempotency_key text        NOT NULL PRIMARY KEY,
    event_id        text        NOT NULL
);

CREATE TABLE normalized_events (
    id                 text        NOT NULL PRIMARY KEY,
    webhook_event_id   text        NOT NULL,
    integration_id     text        NOT NULL,
    occurred_at        timestamp NOT NULL,
    received_at        timestamp NOT NULL,
    created_at         timestamp NOT NULL,
    source             text        NOT NULL,
    provider           text        NOT NULL,
    external_event_id  text,
    key_digest         text, -- of the idempotency key, where source and external_event_id do not make it up
    event_type         text        NOT NULL,
    subject            text,
    normalized_payload blob       NOT NULL,
    correlation_id     text, -- null where it is made of the id
    hops               integer -- gateways that the webhook came through before; null for none
);

CREATE INDEX normalized_events_received ON normalized_events (received_at, id, occurred_at);
CREATE INDEX normalized_events_occurred ON normalized_events (occurred_at, id);
CREATE INDEX normalized_events_external ON normalized_events (external_event_id);
CREATE INDEX normalized_events_correlation ON normalized_events (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX normalized_events_source ON normalized_events (source, received_at, id, occurred_at);
CREATE INDEX normalized_events_type ON normalized_events (event_type, received_at, id, occurred_at);

CREATE TABLE event_states (
    event_id            text        NOT NULL PRIMARY KEY,
    received_at         timestamp NOT NULL,
    updated_at          timestamp NOT NULL,
    last_processed_at   timestamp,
    erased_at           timestamp,
    processing_attempts integer     NOT NULL,
    status              text NOT NULL CHECK (status IN ('pending', 'processing', 'processed', 'retrying', 'failed')),
    last_error          text
);

CREATE INDEX event_states_status ON event_states (status, received_at, event_id);

-- A job is the outbox row (wake_at, published_at) and the lease (claim_token, lease_until) in one, and it is live until
-- completed_at. wake_at: when the relay must look at it next; null where a message, its parking or its end makes that
-- needless. It may come too early, never too late. A claim changes no column that an index or its condition names, so
-- that PostgreSQL writes it to the row's page alone (a HOT update).
-- scheduled_at is null for a job that was due when it was created.
-- budget_start: attempts recorded before this budget of attempts began.
-- destination_id is null for a job on the replay queue, which dispatches a replay request.
-- The integration and the correlation id are the event's; the queue follows from destination_id and triggered_by.
CREATE TABLE processing_jobs (
    id                  text        NOT NULL,
    normalized_event_id text        NOT NULL,
    destination_id      text,
    replay_request_id   text,
    claim_token         text,
    created_at          timestamp NOT NULL,
    scheduled_at        timestamp,
    wake_at             timestamp,
    published_at        timestamp,
    lease_until         timestamp,
    started_at          timestamp,
    completed_at        timestamp,
    attempt_no          integer     NOT NULL,
    budget_start        integer     NOT NULL,
    parked              boolean     NOT NULL,
    triggered_by        text        NOT NULL CHECK (triggered_by IN ('webhook', 'retry', 'replay')),
    status              text        NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    error_message       text,
    PRIMARY KEY (normalized_event_id, id),
    CHECK ((completed_at IS NULL) = (status IN ('queued', 'running'))),
    CHECK (published_at IS NULL OR status = 'queued')
);

CREATE UNIQUE INDEX processing_jobs_one_live ON processing_jobs (normalized_event_id, destination_id) WHERE completed_at IS NULL;
CREATE INDEX processing_jobs_wake ON processing_jobs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX processing_jobs_published ON processing_jobs (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX processing_jobs_published_replay ON processing_jobs (published_at)
    WHERE published_at IS NOT NULL AND destination_id IS NULL;
CREATE INDEX processing_jobs_parked ON processing_jobs (destination_id) WHERE parked;
CREATE INDEX processing_jobs_replay ON processing_jobs (replay_request_id) WHERE replay_request_id IS NOT NULL;

-- An attempt's integration is its destination's.
CREATE TABLE delivery_attempts (
    id                  text        NOT NULL,
    normalized_event_id text        NOT NULL,
    destination_id      text        NOT NULL,
    job_id              text        NOT NULL,
    created_at          timestamp NOT NULL,
    attempt_no          integer     NOT NULL,
    duration_ms         integer     NOT NULL,
    http_status         integer,
    status              text        NOT NULL CHECK (status IN ('success', 'failed')),
    response_body       text,
    error_message       text,
    error_kind          text,
    PRIMARY KEY (normalized_event_id, destination_id, attempt_no)
);

CREATE INDEX delivery_attempts_newest ON delivery_attempts (id);
CREATE INDEX delivery_attempts_destination ON delivery_attempts (destination_id, id);
CREATE INDEX delivery_attempts_failed ON delivery_attempts (id) WHERE status = 'failed';
CREATE INDEX delivery_attempts_kind ON delivery_attempts (error_kind, id) WHERE status = 'failed';

-- url_id, due_at, claim_token, attempts, http_status, error_kind: of a request that goes to a URL of its own (replay_urls).
-- due_at: the next attempt, or when the claim of the one under way expires.
CREATE TABLE replay_requests (
    id                  text        NOT NULL PRIMARY KEY,
    normalized_event_id text        NOT NULL,
    integration_id      text        NOT NULL,
    replay_id           text,
    destination_id      text,
    url_id              text,
    only_failed         boolean     NOT NULL,
    renormalized        boolean     NOT NULL DEFAULT false,
    requested_by        text        NOT NULL,
    reason              text        NOT NULL,
    actor               text        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('queued', 'dispatched', 'completed', 'failed')),
    error_message       text,
    created_at          timestamp NOT NULL,
    dispatched_at       timestamp,
    completed_at        timestamp,
    due_at              timestamp,
    claim_token         text,
    attempts            integer     NOT NULL DEFAULT 0,
    http_status         integer,
    error_kind          text
);

CREATE INDEX replay_requests_event ON replay_requests (normalized_event_id, id);
CREATE INDEX replay_requests_integration ON replay_requests (integration_id, id);
CREATE INDEX replay_requests_open ON replay_requests (id) WHERE status IN ('queued', 'dispatched');
CREATE INDEX replay_requests_status ON replay_requests (status, id);
-- The requests of a bulk replay. A replay asks for an event and a destination once.
CREATE UNIQUE INDEX replay_requests_once ON replay_requests (replay_id, normalized_event_id, destination_id) WHERE replay_id IS NOT NULL;
CREATE UNIQUE INDEX replay_requests_url_once ON replay_requests (replay_id, normalized_event_id) WHERE url_id IS NOT NULL AND replay_id IS NOT NULL;
CREATE INDEX replay_requests_due ON replay_requests (url_id, due_at) WHERE url_id IS NOT NULL AND status = 'dispatched';
CREATE INDEX replay_requests_replay ON replay_requests (replay_id, id) WHERE replay_id IS NOT NULL;
CREATE INDEX replay_requests_replay_open ON replay_requests (replay_id, id) WHERE replay_id IS NOT NULL AND status IN ('queued', 'dispatched');

-- Bulk replays. One process at a time works on a replay: lease_token, lease_until. It counts what the filter matches
-- (until counted_at), then asks for it page by page (until scanned_at), and ends when the last delivery has ended.
-- after_at and after_id: the last event that was counted or, then, asked for; up_to: when the replay was ordered.
-- next_at: when the rate allows the next page.
CREATE TABLE replays (
    id             text NOT NULL PRIMARY KEY,
    status         text NOT NULL CHECK (status IN ('queued', 'running', 'paused', 'completed', 'cancelled')),
    filter         text NOT NULL,
    destination_id text,
    payload        text NOT NULL CHECK (payload IN ('stored', 'renormalized')),
    rate           integer NOT NULL,
    requested_by   text NOT NULL,
    reason         text NOT NULL,
    actor          text NOT NULL,
    matched        integer NOT NULL,
    queued         integer NOT NULL,
    delivered      integer NOT NULL,
    failed         integer NOT NULL,
    after_at       timestamp NOT NULL,
    after_id       text NOT NULL,
    up_to          timestamp NOT NULL,
    next_at        timestamp NOT NULL,
    lease_token    text,
    lease_until    timestamp,
    created_at     timestamp NOT NULL,
    updated_at     timestamp NOT NULL,
    started_at     timestamp,
    counted_at     timestamp,
    scanned_at     timestamp,
    ended_at       timestamp
);

CREATE INDEX replays_status ON replays (status, id);
CREATE INDEX replays_open ON replays (id) WHERE ended_at IS NULL;

-- URLs outside the destinations, each of the bulk replay or the replay request with its id.
-- signing_secret is null once nothing is left to send there.
CREATE TABLE replay_urls (
    id             text NOT NULL PRIMARY KEY,
    url            text NOT NULL,
    signing_secret text
);

CREATE INDEX replay_urls_open ON replay_urls (id) WHERE signing_secret IS NOT NULL;

-- The integrations that a replay is restricted to; one without any is of all.
CREATE TABLE replay_sources (
    replay_id      text NOT NULL REFERENCES replays (id),
    integration_id text NOT NULL,
    PRIMARY KEY (replay_id, integration_id)
);

CREATE INDEX replay_sources_integration ON replay_sources (integration_id, replay_id);

-- Erasures. One process at a time works on one: lease_token, lease_until. It goes through the quarantine (after_quarantine_id), then
-- through the events in the order of their receipt (after_at, after_id) up to when it was ordered (up_to). target is what it
-- looks for, without the text itself once it has ended; text_digest is a keyed hash of that.
CREATE TABLE erasures (
    id                  text NOT NULL PRIMARY KEY,
    status              text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'cancelled')),
    kind                text NOT NULL CHECK (kind IN ('subject', 'events', 'value')),
    target              text NOT NULL,
    text_digest         text,
    most_events         integer,
    limited             boolean NOT NULL,
    requested_by        text NOT NULL,
    reason              text NOT NULL,
    actor               text NOT NULL,
    stage               text NOT NULL CHECK (stage IN ('quarantine', 'events')),
    after_quarantine_id text,
    after_at            timestamp NOT NULL,
    after_id            text NOT NULL,
    up_to               timestamp NOT NULL,
    looked              integer NOT NULL,
    unreadable          integer NOT NULL,
    events              integer NOT NULL,
    webhooks            integer NOT NULL,
    others              integer NOT NULL,
    deliveries          integer NOT NULL,
    answers             integer NOT NULL,
    dead_letters        integer NOT NULL,
    quarantined         integer NOT NULL,
    lease_token         text,
    lease_until         timestamp,
    created_at          timestamp NOT NULL,
    updated_at          timestamp NOT NULL,
    started_at          timestamp,
    ended_at            timestamp
);

CREATE INDEX erasures_status ON erasures (status, id);
CREATE INDEX erasures_open ON erasures (id) WHERE ended_at IS NULL;

-- The sources that an erasure is restricted to; one without any is of all.
CREATE TABLE erasure_sources (
    erasure_id text NOT NULL REFERENCES erasures (id),
    source     text NOT NULL,
    PRIMARY KEY (erasure_id, source)
);

CREATE INDEX erasure_sources_source ON erasure_sources (source, erasure_id);

-- Dead letters: deliveries that ended without success, and unreadable messages.
-- body is the message's; replay_request_id is the replay made by a requeue.
CREATE TABLE dead_letters (
    id                text NOT NULL PRIMARY KEY,
    kind              text NOT NULL CHECK (kind IN ('exhausted', 'refused', 'unreadable')),
    queue             text NOT NULL,
    event_id          text,
    destination_id    text,
    job_id            text,
    source            text,
    provider          text,
    event_type        text,
    reason            text NOT NULL,
    body              blob,
    attempts          integer NOT NULL,
    status            text NOT NULL CHECK (status IN ('open', 'requeued', 'resolved')),
    replay_request_id text,
    requeued_by       text,
    created_at        timestamp NOT NULL,
    requeued_at       timestamp,
    resolved_at       timestamp
);

CREATE INDEX dead_letters_event ON dead_letters (event_id, destination_id) WHERE event_id IS NOT NULL;
CREATE INDEX dead_letters_open ON dead_letters (id) WHERE status = 'open';
CREATE INDEX dead_letters_status ON dead_letters (status, id);
CREATE INDEX dead_letters_kind ON dead_letters (kind, id);
CREATE INDEX dead_letters_source ON dead_letters (source, id);
CREATE INDEX dead_letters_provider ON dead_letters (provider, id);
CREATE INDEX dead_letters_type ON dead_letters (event_type, id);
CREATE INDEX dead_letters_destination ON dead_letters (destination_id, id);
CREATE INDEX dead_letters_created ON dead_letters (id, created_at);

-- Management keys, identified by their SHA-256; sources is a JSON array, NULL for all.
CREATE TABLE api_keys (
    id           text NOT NULL PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    prefix       text NOT NULL,
    hash         text NOT NULL UNIQUE,
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    sources      text,
    created_at   timestamp NOT NULL,
    created_by   text NOT NULL,
    expires_at   timestamp,
    revoked_at   timestamp,
    last_used_at timestamp
);

-- Who is signed in to the console. hash: the SHA-256 of what the cookie holds. key_id: the key that signed in, without which
-- the session ends; NULL for MANAGEMENT_API_KEY, of which key_proof is an HMAC under what the cookie holds.
CREATE TABLE console_sessions (
    id         text NOT NULL PRIMARY KEY,
    hash       text NOT NULL UNIQUE,
    key_id     text,
    key_proof  text,
    created_at timestamp NOT NULL,
    seen_at    timestamp NOT NULL,
    expires_at timestamp NOT NULL,
    CHECK ((key_id IS NULL) <> (key_proof IS NULL))
);

-- The processes of this installation. beats counts heartbeats; lost_at: when others considered the process dead;
-- stopped_at: when it ended, or when a dead process's jobs were reclaimed. filler only tests whether the disk has room.
CREATE TABLE processes (
    id             text NOT NULL PRIMARY KEY,
    role           text NOT NULL,
    version        text NOT NULL,
    host           text NOT NULL,
    started_at     timestamp NOT NULL,
    seen_at        timestamp NOT NULL,
    beats          integer NOT NULL,
    clock_ahead_ms integer NOT NULL,
    lost_at        timestamp,
    stopped_at     timestamp,
    filler         blob
);

-- The last measured state of the records, in one row: claimed_at is when a process began to measure, readings its
-- result as JSON.
CREATE TABLE gauges (
    id         integer NOT NULL PRIMARY KEY,
    claimed_at timestamp NOT NULL,
    readings   text NOT NULL
) WITHOUT ROWID;

-- When a process began to evaluate the conditions of alerts, in one row.
CREATE TABLE alert_turns (
    id         integer NOT NULL PRIMARY KEY,
    claimed_at timestamp NOT NULL
) WITHOUT ROWID;

-- Conditions that hold or held, each for a subject. since: when it began to hold; opened_at: when it had held for long
-- enough; calm_since: when it last stopped; notified_at: when its notices were made, null while it is muted.
CREATE TABLE alerts (
    id              text NOT NULL PRIMARY KEY,
    condition       text NOT NULL,
    subject         text NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('page', 'ticket')),
    summary         text NOT NULL,
    value           real NOT NULL,
    since           timestamp NOT NULL,
    opened_at       timestamp,
    calm_since      timestamp,
    resolved_at     timestamp,
    notified_at     timestamp,
    acknowledged_at timestamp,
    acknowledged_by text,
    note            text
);

CREATE UNIQUE INDEX alerts_live ON alerts (condition, subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

-- Until then, alerts of the condition and the subject, or of every subject, make no notices.
CREATE TABLE alert_mutes (
    id         text NOT NULL PRIMARY KEY,
    condition  text NOT NULL,
    subject    text,
    until      timestamp NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL,
    created_at timestamp NOT NULL
);

-- What was changed of a condition by the API: threshold is null for the configured one; an alert of a condition that is
-- not enabled does not open.
CREATE TABLE alert_conditions (
    condition  text NOT NULL PRIMARY KEY,
    threshold  real,
    enabled    boolean NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL,
    changed_at timestamp NOT NULL
);

-- Until when the certificates of the listeners are valid, as each process tells of its own.
CREATE TABLE alert_certificates (
    name       text NOT NULL,
    host       text NOT NULL,
    expires_at timestamp NOT NULL,
    seen_at    timestamp NOT NULL,
    PRIMARY KEY (name, host)
);

-- Messages about alerts to targets of the configuration. due_at: the next attempt; done_at: when it was sent or given up,
-- then error says why.
CREATE TABLE alert_notices (
    id         text NOT NULL PRIMARY KEY,
    alert_id   text NOT NULL,
    target     text NOT NULL,
    body       text NOT NULL,
    created_at timestamp NOT NULL,
    due_at     timestamp NOT NULL,
    done_at    timestamp,
    attempts   integer NOT NULL,
    error      text
);

CREATE INDEX alert_notices_waiting ON alert_notices (target, id) WHERE done_at IS NULL;
CREATE INDEX alert_notices_done ON alert_notices (done_at) WHERE done_at IS NOT NULL;
-- What happened in each minute, as each process counted it. destination_id is the zero UUID in what is counted of
-- the source itself. counts is encoded as modules/figures writes it. merged: figures_hours has it.
CREATE TABLE figures_minutes (
    at             timestamp NOT NULL,
    source         text NOT NULL,
    destination_id text NOT NULL,
    process_id     text NOT NULL,
    merged         boolean NOT NULL,
    counts         blob NOT NULL,
    PRIMARY KEY (at, source, destination_id, process_id)
);

CREATE INDEX figures_minutes_unmerged ON figures_minutes (at) WHERE NOT merged;

-- The sums of an hour's minutes.
CREATE TABLE figures_hours (
    at             timestamp NOT NULL,
    source         text NOT NULL,
    destination_id text NOT NULL,
    counts         blob NOT NULL,
    PRIMARY KEY (at, source, destination_id)
) WITHOUT ROWID;

-- One row: figures_hours is complete before merged_until.
CREATE TABLE figures_merge (
    id           integer NOT NULL PRIMARY KEY,
    merged_until timestamp NOT NULL
) WITHOUT ROWID;

-- The check of the records that runs by itself, in one row: claimed_at is when a process last worked on it, due_at when
-- the next one begins, result the last complete one as JSON.
CREATE TABLE consistency_checks (
    id         integer NOT NULL PRIMARY KEY,
    process_id text NOT NULL,
    claimed_at timestamp NOT NULL,
    due_at     timestamp NOT NULL,
    result     text NOT NULL
) WITHOUT ROWID;

-- Periods whose commits the database has lost: a lagging standby was promoted, or a backup restored.
CREATE TABLE database_rewinds (
    id              text NOT NULL PRIMARY KEY,
    lost_from       timestamp NOT NULL,
    lost_until      timestamp NOT NULL,
    noticed_at      timestamp NOT NULL,
    acknowledged_at timestamp
);

-- Retired keys: the parts of former SECRETS_KEYs that verify digests and seals, sealed under the current key.
CREATE TABLE retired_keys (
    id          text NOT NULL PRIMARY KEY,
    fingerprint text NOT NULL UNIQUE,
    remains     text NOT NULL,
    retired_at  timestamp NOT NULL
);

CREATE TABLE audit_entries (
    id          text        NOT NULL PRIMARY KEY,
    entity_type text        NOT NULL,
    entity_id   text,
    action      text        NOT NULL,
    actor       text        NOT NULL,
    details     text        NOT NULL,
    created_at  timestamp NOT NULL,
    source      text
);

CREATE INDEX audit_entries_entity ON audit_entries (entity_id, id);
CREATE INDEX audit_entries_action ON audit_entries (action, id);
CREATE INDEX audit_entries_type ON audit_entries (entity_type, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor, id) WHERE actor <> 'gateway';
CREATE INDEX audit_entries_source ON audit_entries (source, id) WHERE source IS NOT NULL;

-- Entries of what every event leaves (the four actions that the counts are named after), in groups: what one
-- transaction wrote is a row. entries is a JSON array of [action, entity id, details], each entry at its place from 1,
-- which is also the last four digits of its id; null is at the places of entries in audit_entries. entities holds the
-- last four bytes of each entity's id, one after another.
CREATE TABLE audit_groups (
    id         text      NOT NULL PRIMARY KEY,
    received   smallint  NOT NULL,
    normalized smallint  NOT NULL,
    queued     smallint  NOT NULL,
    processed  smallint  NOT NULL,
    entities   blob      NOT NULL,
    created_at timestamp NOT NULL,
    entries    text      NOT NULL,
    CHECK (received + normalized + queued + processed > 0)
);

-- Groups without any of these are as frequent where nothing is delivered, or all of it late.
CREATE INDEX audit_groups_queued ON audit_groups (id) WHERE queued > 0;
CREATE INDEX audit_groups_processed ON audit_groups (id) WHERE processed > 0;

-- The trail as one table, for reading by hand.
CREATE VIEW audit_trail AS
SELECT id, entity_type, entity_id, action, actor, details, created_at
FROM   audit_entries
UNION  ALL
SELECT substr(g.id, 1, 32) || printf('%04x', e.key + 1),
       CASE json_extract(e.value, '$[0]') WHEN 'webhook.received' THEN 'webhook_event' ELSE 'normalized_event' END,
       json_extract(e.value, '$[1]'), json_extract(e.value, '$[0]'), 'gateway', json_extract(e.value, '$[2]'), g.created_at
FROM   audit_groups g, json_each(g.entries) e
WHERE  e.type = 'array';

-- Seals of audit_entries and audit_groups, made after the commit: leaves contains, for each row in id order, its id
-- (16 bytes), the number of its entries (2) and its digest (32). swept_seq: the seals up to this one were checked for late entries.
CREATE TABLE audit_seals (
    seq           integer   NOT NULL PRIMARY KEY,
    first_id      text      NOT NULL,
    last_id       text      NOT NULL,
    count         integer   NOT NULL,
    late          boolean   NOT NULL,
    leaves        blob      NOT NULL,
    sealed_by     text      NOT NULL,
    swept_seq     integer   NOT NULL,
    previous_hash text      NOT NULL,
    hash          text      NOT NULL,
    sealed_at     timestamp NOT NULL,
    retained_from timestamp,
    dropped_seq   integer   NOT NULL,
    dropped_hash  text      NOT NULL
) WITHOUT ROWID;

CREATE INDEX audit_seals_retained ON audit_seals (seq) WHERE retained_from IS NOT NULL;
CREATE INDEX audit_seals_last ON audit_seals (last_id) WHERE NOT late;
CREATE INDEX audit_seals_late ON audit_seals (first_id) WHERE late;
