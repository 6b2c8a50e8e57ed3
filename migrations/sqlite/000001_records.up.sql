-- What is wide is written once; what changes is narrow (event_states, processing_jobs).
-- Children of an event have the event's id first in their key: all of an event lies together.

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
    updated_at            timestamp NOT NULL
);

CREATE TABLE integration_secrets (
    id             text        NOT NULL PRIMARY KEY,
    integration_id text        NOT NULL REFERENCES integrations (id),
    secret         text        NOT NULL,
    is_active      boolean     NOT NULL,
    note           text        NOT NULL DEFAULT '',
    expires_at     timestamp,
    match_count    integer     NOT NULL DEFAULT 0,
    last_matched_at timestamp,
    created_at     timestamp NOT NULL
);

CREATE INDEX integration_secrets_integration ON integration_secrets (integration_id);

-- headers, auth and tls are sealed, as are the secrets. wants_all_since: when it last had a filter taken away;
-- events from before may have no job for it. open_jobs: what becomes of them once it is archived.
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
    wants_all_since timestamp,
    archived_at    timestamp,
    open_jobs      text CHECK (open_jobs IN ('finish', 'cancel')),
    created_at     timestamp NOT NULL,
    updated_at     timestamp NOT NULL
);

CREATE INDEX destinations_integration ON destinations (integration_id);

-- The circuit breaker of a destination that is taken for down; one without a row is closed.
CREATE TABLE destination_breakers (
    destination_id text NOT NULL PRIMARY KEY REFERENCES destinations (id),
    state          text NOT NULL CHECK (state IN ('open', 'half_open')),
    until          timestamp NOT NULL,
    trips          integer NOT NULL,
    opened_at      timestamp NOT NULL
);

CREATE TABLE webhook_events (
    id                text        NOT NULL PRIMARY KEY,
    integration_id    text        NOT NULL,
    source            text        NOT NULL,
    provider          text        NOT NULL,
    external_event_id text,
    idempotency_key   text        NOT NULL,
    signature_valid   boolean     NOT NULL,
    request_headers   text        NOT NULL,
    raw_body          blob       NOT NULL,
    body_state        text        NOT NULL DEFAULT 'exact' CHECK (body_state IN ('exact', 'redacted', 'erased')),
    source_ip         text        NOT NULL,
    correlation_id    text        NOT NULL,
    received_at       timestamp NOT NULL
);

-- Requests that were refused, for a while: what their verification needs is here, a token as a keyed hash.
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
    redacted        boolean NOT NULL DEFAULT false,
    source_ip       text NOT NULL,
    correlation_id  text NOT NULL,
    received_at     timestamp NOT NULL
);

CREATE INDEX quarantine_source ON quarantine (source, id);
CREATE INDEX quarantine_reason ON quarantine (reason, id);
CREATE INDEX quarantine_received ON quarantine (received_at);

CREATE TABLE idempotency_keys (
    idempotency_key text        NOT NULL PRIMARY KEY,
    event_id        text        NOT NULL,
    correlation_id  text        NOT NULL,
    created_at      timestamp NOT NULL
);

CREATE TABLE normalized_events (
    id                 text        NOT NULL PRIMARY KEY,
    webhook_event_id   text        NOT NULL,
    integration_id     text        NOT NULL,
    source             text        NOT NULL,
    provider           text        NOT NULL,
    external_event_id  text,
    event_type         text        NOT NULL,
    subject            text,
    occurred_at        timestamp NOT NULL,
    normalized_payload blob       NOT NULL,
    correlation_id     text        NOT NULL,
    received_at        timestamp NOT NULL,
    created_at         timestamp NOT NULL
);

CREATE INDEX normalized_events_received ON normalized_events (received_at, id, occurred_at);
CREATE INDEX normalized_events_occurred ON normalized_events (occurred_at, id);
CREATE INDEX normalized_events_external ON normalized_events (external_event_id);
CREATE INDEX normalized_events_correlation ON normalized_events (correlation_id);
CREATE INDEX normalized_events_source ON normalized_events (source, received_at, id, occurred_at);
CREATE INDEX normalized_events_type ON normalized_events (event_type, received_at, id, occurred_at);

CREATE TABLE event_states (
    event_id            text        NOT NULL PRIMARY KEY,
    status              text        NOT NULL CHECK (status IN ('pending', 'processing', 'processed', 'retrying', 'failed')),
    processing_attempts integer      NOT NULL,
    last_error          text,
    last_processed_at   timestamp,
    erased_at           timestamp,
    received_at         timestamp NOT NULL,
    updated_at          timestamp NOT NULL
);

CREATE INDEX event_states_status ON event_states (status, received_at, event_id);

-- A job is the outbox row (relay_at, published_at) and the lease (claim_token, lease_until) in one.
-- relay_at: when the relay may publish it; null once it is published or parked.
-- budget_start: attempts recorded before this budget of attempts began.
-- destination_id is null for a job on the replay queue, which dispatches a replay request.
CREATE TABLE processing_jobs (
    id                  text        NOT NULL,
    normalized_event_id text        NOT NULL,
    integration_id      text        NOT NULL,
    destination_id      text,
    replay_request_id   text,
    queue_name          text        NOT NULL,
    triggered_by        text        NOT NULL CHECK (triggered_by IN ('webhook', 'retry', 'replay')),
    status              text        NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    attempt_no          integer      NOT NULL,
    budget_start        integer      NOT NULL,
    correlation_id      text        NOT NULL,
    parked              boolean     NOT NULL,
    relay_at            timestamp,
    published_at        timestamp,
    claim_token         text,
    lease_until         timestamp,
    scheduled_at        timestamp NOT NULL,
    started_at          timestamp,
    completed_at        timestamp,
    error_message       text,
    created_at          timestamp NOT NULL,
    PRIMARY KEY (normalized_event_id, id)
);

CREATE UNIQUE INDEX processing_jobs_one_live ON processing_jobs (normalized_event_id, destination_id)
    WHERE status IN ('queued', 'running');
CREATE INDEX processing_jobs_relay ON processing_jobs (relay_at)
    WHERE status = 'queued' AND relay_at IS NOT NULL;
CREATE INDEX processing_jobs_published ON processing_jobs (published_at)
    WHERE status = 'queued' AND published_at IS NOT NULL;
CREATE INDEX processing_jobs_lease ON processing_jobs (lease_until) WHERE status = 'running';
CREATE INDEX processing_jobs_parked ON processing_jobs (destination_id) WHERE parked;
CREATE INDEX processing_jobs_replay ON processing_jobs (replay_request_id) WHERE replay_request_id IS NOT NULL;

CREATE TABLE delivery_attempts (
    id                  text        NOT NULL,
    normalized_event_id text        NOT NULL,
    integration_id      text        NOT NULL,
    destination_id      text        NOT NULL,
    job_id              text        NOT NULL,
    attempt_no          integer      NOT NULL,
    status              text        NOT NULL CHECK (status IN ('success', 'failed')),
    http_status         integer,
    response_body       text,
    error_message       text,
    error_kind          text,
    duration_ms         integer      NOT NULL,
    created_at          timestamp NOT NULL,
    PRIMARY KEY (normalized_event_id, destination_id, attempt_no)
);

CREATE INDEX delivery_attempts_newest ON delivery_attempts (id);
CREATE INDEX delivery_attempts_destination ON delivery_attempts (destination_id, id);
CREATE INDEX delivery_attempts_failed ON delivery_attempts (id) WHERE status = 'failed';
CREATE INDEX delivery_attempts_kind ON delivery_attempts (error_kind, id) WHERE status = 'failed';

CREATE TABLE replay_requests (
    id                  text        NOT NULL PRIMARY KEY,
    normalized_event_id text        NOT NULL,
    integration_id      text        NOT NULL,
    destination_id      text,
    only_failed         boolean     NOT NULL,
    requested_by        text        NOT NULL,
    reason              text        NOT NULL,
    actor               text        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('queued', 'dispatched', 'completed', 'failed')),
    error_message       text,
    created_at          timestamp NOT NULL,
    dispatched_at       timestamp,
    completed_at        timestamp
);

CREATE INDEX replay_requests_event ON replay_requests (normalized_event_id, id);
CREATE INDEX replay_requests_integration ON replay_requests (integration_id, id);
CREATE INDEX replay_requests_open ON replay_requests (id) WHERE status IN ('queued', 'dispatched');
CREATE INDEX replay_requests_status ON replay_requests (status, id);

-- What was given up on: deliveries that ended without success, and messages nobody could read.
-- body is a message's; replay_request_id the replay that a requeue became.
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

-- Management keys, by the SHA-256 of each; sources is a JSON array, NULL for all.
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

-- What is left of keys that SECRETS_KEY was before: enough to recognise digests and seals, sealed under the current one.
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
    created_at  timestamp NOT NULL
);

CREATE INDEX audit_entries_entity ON audit_entries (entity_id, id);
-- Of the actions that every event leaves, the newest are never far; the others are rare.
CREATE INDEX audit_entries_rare ON audit_entries (action, id)
    WHERE action NOT IN ('webhook.received', 'event.normalized', 'event.queued', 'event.processed');
CREATE INDEX audit_entries_type ON audit_entries (entity_type, id) WHERE entity_type NOT IN ('webhook_event', 'normalized_event');

-- Seals of audit_entries, behind the commit: leaves holds, for each entry in the order of their ids, its id
-- (16 bytes) and its digest (32). swept_seq: the seals up to this one were looked at again for late entries.
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
    sealed_at     timestamp NOT NULL
) WITHOUT ROWID;

CREATE INDEX audit_seals_last ON audit_seals (last_id) WHERE NOT late;
CREATE INDEX audit_seals_late ON audit_seals (seq) WHERE late;
