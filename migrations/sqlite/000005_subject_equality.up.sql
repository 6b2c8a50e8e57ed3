-- The events of one subject, by its beginning, which bounds an entry as PostgreSQL's hash does.
CREATE INDEX normalized_events_subject_hash ON normalized_events (substr(subject, 1, 100));
