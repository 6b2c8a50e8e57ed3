ALTER TABLE integration_secrets DROP COLUMN pending_since;
