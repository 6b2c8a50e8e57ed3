-- Change: adds the table schema_changes
-- Locks: nothing
-- Min reader: 1

-- What each migration declares, written by the program that runs it. min_reader is the lowest version whose programs work on the
-- result: an older program reads here whether it may run beside a schema that it does not know.
CREATE TABLE schema_changes (
    version    bigint      NOT NULL PRIMARY KEY,
    min_reader bigint      NOT NULL,
    title      text        NOT NULL,
    applied_at timestamptz NOT NULL
);
