-- Change: adds an index of whole subjects
-- Locks: nothing
-- Min reader: 1

-- The events of one subject. Its hash, because a subject may be longer than an entry of a btree allows, and not an index of the type
-- hash, whose inserts walk all entries of a value that very many rows have. It is not partial: the planner uses the statistics of
-- an expression only from an index of all rows.
CREATE INDEX CONCURRENTLY normalized_events_subject_hash ON normalized_events (hashtext(subject));
