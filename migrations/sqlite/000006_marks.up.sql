-- Change: adds the column webhook_events.marks
-- Locks: webhook_events, for a moment: the column is empty and nothing is rewritten
-- Min reader: 1

-- What was found in a webhook that is stored all the same, as JSON: [{"mark": "duplicate_keys", "detail": "$.data.amount"}]. NULL for
-- nothing, as in nearly all.
ALTER TABLE webhook_events ADD COLUMN marks text;
