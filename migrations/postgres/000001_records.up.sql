-- What is wide is written once; what changes is narrow (event_states, processing_jobs).
-- Children of an event have the event's id first in their key: all of an event lies together.
-- Text in an index is compared by its bytes: no update of the system's locale can break such an index.
-- The big tables are cut by ranges of UUIDv7, which is by time. Their partitions are made by the
-- program (platform/database/partitions.go), after this migration and ahead of time.

CREATE TABLE installation (
    id         uuid        NOT NULL PRIMARY KEY,
    created_at timestamptz NOT NULL
);

INSERT INTO installation (id, created_at) VALUES (gen_random_uuid(), now());

CREATE TABLE integrations (
    id                    uuid        NOT NULL PRIMARY KEY,
    source                text COLLATE "C" NOT NULL UNIQUE,
    provider              text        NOT NULL,
    name                  text        NOT NULL,
    is_active             boolean     NOT NULL,
    rate_limit_per_minute bigint,
    max_body_bytes        bigint,
    options               text        NOT NULL DEFAULT '{}',
    redact                text        NOT NULL DEFAULT '[]',
    archived_at           timestamptz,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
);

CREATE TABLE integration_secrets (
    id             uuid        NOT NULL PRIMARY KEY,
    integration_id uuid        NOT NULL REFERENCES integrations (id),
    secret         text        NOT NULL,
    is_active      boolean     NOT NULL,
    note           text        NOT NULL DEFAULT '',
    expires_at     timestamptz,
    match_count    bigint     NOT NULL DEFAULT 0,
    last_matched_at timestamptz,
    created_at     timestamptz NOT NULL
);

CREATE INDEX integration_secrets_integration ON integration_secrets (integration_id);

-- headers, auth and tls are sealed, as are the secrets. wants_all_since: when it last had a filter taken away;
-- events from before may have no job for it. open_jobs: what becomes of them once it is archived.
CREATE TABLE destinations (
    id             uuid        NOT NULL PRIMARY KEY,
    integration_id uuid        NOT NULL REFERENCES integrations (id),
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
    old_secret_until timestamptz,
    timeout_ms     bigint,
    max_attempts   bigint,
    retry_base_ms  bigint,
    retry_cap_ms   bigint,
    concurrency    bigint,
    rate_per_second bigint,
    wants_all_since timestamptz,
    archived_at    timestamptz,
    open_jobs      text CHECK (open_jobs IN ('finish', 'cancel')),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);

CREATE INDEX destinations_integration ON destinations (integration_id);

-- The circuit breaker of a destination that is taken for down; one without a row is closed.
CREATE TABLE destination_breakers (
    destination_id uuid NOT NULL PRIMARY KEY REFERENCES destinations (id),
    state          text NOT NULL CHECK (state IN ('open', 'half_open')),
    until          timestamptz NOT NULL,
    trips          bigint NOT NULL,
    opened_at      timestamptz NOT NULL
);

CREATE TABLE webhook_events (
    id                uuid        NOT NULL PRIMARY KEY,
    integration_id    uuid        NOT NULL,
    source            text        NOT NULL,
    provider          text        NOT NULL,
    external_event_id text,
    idempotency_key   text        NOT NULL,
    signature_valid   boolean     NOT NULL,
    request_headers   text        NOT NULL,
    raw_body          bytea       NOT NULL,
    body_state        text        NOT NULL DEFAULT 'exact' CHECK (body_state IN ('exact', 'redacted', 'erased')),
    source_ip         text        NOT NULL,
    correlation_id    text        NOT NULL,
    received_at       timestamptz NOT NULL
) PARTITION BY RANGE (id);

-- Requests that were refused, for a while: what their verification needs is here, a token as a keyed hash.
CREATE TABLE quarantine (
    id              uuid NOT NULL PRIMARY KEY,
    source          text COLLATE "C" NOT NULL,
    integration_id  uuid NOT NULL,
    provider        text NOT NULL,
    reason          text COLLATE "C" NOT NULL,
    detail          text NOT NULL,
    method          text NOT NULL,
    url             text NOT NULL,
    request_headers text NOT NULL,
    header_digests  text NOT NULL,
    raw_body        bytea NOT NULL,
    size            bigint NOT NULL,
    redacted        boolean NOT NULL DEFAULT false,
    source_ip       text NOT NULL,
    correlation_id  text NOT NULL,
    received_at     timestamptz NOT NULL
);

CREATE INDEX quarantine_source ON quarantine (source, id);
CREATE INDEX quarantine_reason ON quarantine (reason, id);
CREATE INDEX quarantine_received ON quarantine (received_at);

CREATE TABLE idempotency_keys (
    idempotency_key text COLLATE "C" NOT NULL PRIMARY KEY,
    event_id        uuid        NOT NULL,
    correlation_id  text        NOT NULL,
    created_at      timestamptz NOT NULL
);

CREATE TABLE normalized_events (
    id                 uuid        NOT NULL,
    webhook_event_id   uuid        NOT NULL,
    integration_id     uuid        NOT NULL,
    source             text COLLATE "C" NOT NULL,
    provider           text        NOT NULL,
    external_event_id  text COLLATE "C",
    event_type         text COLLATE "C" NOT NULL,
    subject            text,
    occurred_at        timestamptz NOT NULL,
    normalized_payload bytea       NOT NULL,
    correlation_id     text COLLATE "C" NOT NULL,
    received_at        timestamptz NOT NULL,
    created_at         timestamptz NOT NULL
) PARTITION BY RANGE (id);

CREATE INDEX normalized_events_received ON normalized_events (received_at, id, occurred_at);
CREATE INDEX normalized_events_occurred ON normalized_events (occurred_at, id);
CREATE INDEX normalized_events_external ON normalized_events (external_event_id);
CREATE INDEX normalized_events_correlation ON normalized_events (correlation_id);
CREATE INDEX normalized_events_source ON normalized_events (source, received_at, id, occurred_at);
CREATE INDEX normalized_events_type ON normalized_events (event_type, received_at, id, occurred_at);
-- Parts of a subject are searched. Where the server cannot give pg_trgm, they are looked for along the order.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX normalized_events_subject ON normalized_events USING gin (subject gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file OR undefined_object THEN
    RAISE WARNING 'subjects have no index: %', SQLERRM;
END $$;
-- After the others: of indexes that cost the same, as all do in a partition that was analyzed while it
-- was empty, the planner takes the last.
ALTER TABLE normalized_events ADD PRIMARY KEY (id);

CREATE TABLE event_states (
    event_id            uuid        NOT NULL,
    status              text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'processing', 'processed', 'retrying', 'failed')),
    processing_attempts bigint      NOT NULL,
    last_error          text,
    last_processed_at   timestamptz,
    erased_at           timestamptz,
    received_at         timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
) PARTITION BY RANGE (event_id);

CREATE INDEX event_states_status ON event_states (status, received_at, event_id);
ALTER TABLE event_states ADD PRIMARY KEY (event_id); -- after the other, as above

-- A job is the outbox row (relay_at, published_at) and the lease (claim_token, lease_until) in one.
-- relay_at: when the relay may publish it; null once it is published or parked.
-- budget_start: attempts recorded before this budget of attempts began.
-- destination_id is null for a job on the replay queue, which dispatches a replay request.
CREATE TABLE processing_jobs (
    id                  uuid        NOT NULL,
    normalized_event_id uuid        NOT NULL,
    integration_id      uuid        NOT NULL,
    destination_id      uuid,
    replay_request_id   uuid,
    queue_name          text        NOT NULL,
    triggered_by        text        NOT NULL CHECK (triggered_by IN ('webhook', 'retry', 'replay')),
    status              text        NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    attempt_no          bigint      NOT NULL,
    budget_start        bigint      NOT NULL,
    correlation_id      text        NOT NULL,
    parked              boolean     NOT NULL,
    relay_at            timestamptz,
    published_at        timestamptz,
    claim_token         uuid,
    lease_until         timestamptz,
    scheduled_at        timestamptz NOT NULL,
    started_at          timestamptz,
    completed_at        timestamptz,
    error_message       text,
    created_at          timestamptz NOT NULL,
    PRIMARY KEY (normalized_event_id, id)
) PARTITION BY RANGE (normalized_event_id);

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
    id                  uuid        NOT NULL,
    normalized_event_id uuid        NOT NULL,
    integration_id      uuid        NOT NULL,
    destination_id      uuid        NOT NULL,
    job_id              uuid        NOT NULL,
    attempt_no          bigint      NOT NULL,
    status              text        NOT NULL CHECK (status IN ('success', 'failed')),
    http_status         bigint,
    response_body       text,
    error_message       text,
    error_kind          text COLLATE "C",
    duration_ms         bigint      NOT NULL,
    created_at          timestamptz NOT NULL,
    PRIMARY KEY (normalized_event_id, destination_id, attempt_no)
) PARTITION BY RANGE (normalized_event_id);

CREATE INDEX delivery_attempts_newest ON delivery_attempts (id);
CREATE INDEX delivery_attempts_destination ON delivery_attempts (destination_id, id);
CREATE INDEX delivery_attempts_failed ON delivery_attempts (id) WHERE status = 'failed';
CREATE INDEX delivery_attempts_kind ON delivery_attempts (error_kind, id) WHERE status = 'failed';

CREATE TABLE replay_requests (
    id                  uuid        NOT NULL PRIMARY KEY,
    normalized_event_id uuid        NOT NULL,
    integration_id      uuid        NOT NULL,
    destination_id      uuid,
    only_failed         boolean     NOT NULL,
    requested_by        text        NOT NULL,
    reason              text        NOT NULL,
    actor               text        NOT NULL,
    status              text COLLATE "C" NOT NULL CHECK (status IN ('queued', 'dispatched', 'completed', 'failed')),
    error_message       text,
    created_at          timestamptz NOT NULL,
    dispatched_at       timestamptz,
    completed_at        timestamptz
);

CREATE INDEX replay_requests_event ON replay_requests (normalized_event_id, id);
CREATE INDEX replay_requests_integration ON replay_requests (integration_id, id);
CREATE INDEX replay_requests_open ON replay_requests (id) WHERE status IN ('queued', 'dispatched');
CREATE INDEX replay_requests_status ON replay_requests (status, id);

-- What was given up on: deliveries that ended without success, and messages nobody could read.
-- body is a message's; replay_request_id the replay that a requeue became.
CREATE TABLE dead_letters (
    id                uuid NOT NULL PRIMARY KEY,
    kind              text COLLATE "C" NOT NULL CHECK (kind IN ('exhausted', 'refused', 'unreadable')),
    queue             text NOT NULL,
    event_id          uuid,
    destination_id    uuid,
    job_id            uuid,
    source            text COLLATE "C",
    provider          text COLLATE "C",
    event_type        text COLLATE "C",
    reason            text NOT NULL,
    body              bytea,
    attempts          bigint NOT NULL,
    status            text COLLATE "C" NOT NULL CHECK (status IN ('open', 'requeued', 'resolved')),
    replay_request_id uuid,
    requeued_by       text,
    created_at        timestamptz NOT NULL,
    requeued_at       timestamptz,
    resolved_at       timestamptz
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
    id           uuid NOT NULL PRIMARY KEY,
    name         text COLLATE "C" NOT NULL UNIQUE,
    prefix       text NOT NULL,
    hash         text COLLATE "C" NOT NULL UNIQUE,
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    sources      text,
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

-- What is left of keys that SECRETS_KEY was before: enough to recognise digests and seals, sealed under the current one.
CREATE TABLE retired_keys (
    id          uuid NOT NULL PRIMARY KEY,
    fingerprint text COLLATE "C" NOT NULL UNIQUE,
    remains     text NOT NULL,
    retired_at  timestamptz NOT NULL
);

CREATE TABLE audit_entries (
    id          uuid        NOT NULL PRIMARY KEY,
    entity_type text COLLATE "C" NOT NULL,
    entity_id   uuid,
    action      text COLLATE "C" NOT NULL,
    actor       text        NOT NULL,
    details     text        NOT NULL,
    created_at  timestamptz NOT NULL
) PARTITION BY RANGE (id);

CREATE INDEX audit_entries_entity ON audit_entries (entity_id, id);
-- Of the actions that every event leaves, the newest are never far; the others are rare.
CREATE INDEX audit_entries_rare ON audit_entries (action, id)
    WHERE action NOT IN ('webhook.received', 'event.normalized', 'event.queued', 'event.processed');
CREATE INDEX audit_entries_type ON audit_entries (entity_type, id) WHERE entity_type NOT IN ('webhook_event', 'normalized_event');

-- Seals of audit_entries, behind the commit: leaves holds, for each entry in the order of their ids, its id
-- (16 bytes) and its digest (32). swept_seq: the seals up to this one were looked at again for late entries.
CREATE TABLE audit_seals (
    seq           bigint      NOT NULL PRIMARY KEY,
    first_id      uuid        NOT NULL,
    last_id       uuid        NOT NULL,
    count         bigint      NOT NULL,
    late          boolean     NOT NULL,
    leaves        bytea       NOT NULL,
    sealed_by     text        NOT NULL,
    swept_seq     bigint      NOT NULL,
    previous_hash text        NOT NULL,
    hash          text        NOT NULL,
    sealed_at     timestamptz NOT NULL
);

CREATE INDEX audit_seals_last ON audit_seals (last_id) WHERE NOT late;
CREATE INDEX audit_seals_late ON audit_seals (seq) WHERE late;
