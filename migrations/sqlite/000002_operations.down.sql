ALTER TABLE dead_letters DROP COLUMN resolved_by;
ALTER TABLE dead_letters DROP COLUMN resolution;
DROP INDEX destinations_paused;
ALTER TABLE destinations DROP COLUMN paused_at;
ALTER TABLE destinations DROP COLUMN paused_by;
ALTER TABLE destinations DROP COLUMN pause_reason;
ALTER TABLE destinations DROP COLUMN paused_until;
DROP TABLE erasure_marks;
