DELETE FROM console_sessions WHERE actor IS NOT NULL;
ALTER TABLE console_sessions DROP COLUMN sources;
ALTER TABLE console_sessions DROP COLUMN role;
ALTER TABLE console_sessions DROP COLUMN actor;
