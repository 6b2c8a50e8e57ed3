-- Change: adds marks of erasures, pauses of destinations and resolutions of dead letters
-- Locks: destinations and dead_letters, for a moment
-- Min reader: 1

-- What erasures look for, as a keyed hash: whoever stores a request that was received before the order holds it against these.
-- source is '' for all; text_bytes is the text's length; paths is a JSON array, null for an erasure by subject.
CREATE TABLE erasure_marks (
    erasure_id    uuid NOT NULL,
    source        text COLLATE "C" NOT NULL,
    text_digest   text NOT NULL,
    text_bytes    bigint NOT NULL,
    paths         text,
    received_from timestamptz,
    received_to   timestamptz,
    ordered_at    timestamptz NOT NULL,
    PRIMARY KEY (erasure_id, source)
);

CREATE INDEX erasure_marks_ordered ON erasure_marks (ordered_at);

-- The pause of an inactive destination: who paused it, when, why, and when it ends by itself; null for no end.
ALTER TABLE destinations
    ADD COLUMN paused_at    timestamptz,
    ADD COLUMN paused_by    text,
    ADD COLUMN pause_reason text,
    ADD COLUMN paused_until timestamptz;

CREATE INDEX destinations_paused ON destinations (paused_until) WHERE paused_until IS NOT NULL;

-- Who closed a dead letter by hand, and why; null where its delivery succeeded later.
ALTER TABLE dead_letters
    ADD COLUMN resolved_by text,
    ADD COLUMN resolution  text;
