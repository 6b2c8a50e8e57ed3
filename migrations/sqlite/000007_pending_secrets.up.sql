-- Change: adds the column integration_secrets.pending_since
-- Locks: integration_secrets, for a moment
-- Min reader: 1

-- Since when a secret that a handshake brought waits for an operator; null for all others. It is not active while it
-- is pending, so programs that do not know the column do not verify with it.
ALTER TABLE integration_secrets ADD COLUMN pending_since timestamp;
