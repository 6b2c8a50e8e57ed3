package ingestion

import (
	"context"
	"fmt"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// On SQLite an INSERT … SELECT with ON CONFLICT needs a WHERE to be parsed, and v may
// have rows of NULL.
const insertKeysSQL = `
INSERT INTO idempotency_keys (idempotency_key, event_id, correlation_id, created_at)
SELECT idempotency_key, event_id, correlation_id, created_at FROM v WHERE idempotency_key IS NOT NULL
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING idempotency_key`

const selectKeysSQL = `
SELECT k.idempotency_key, k.event_id, k.correlation_id
FROM   idempotency_keys k
JOIN   v ON v.idempotency_key = k.idempotency_key`

// keyring says for each key of a group which event it belongs to, and which keys were
// free until now.
type keyring struct {
	at  map[string]known
	won map[string]bool
}

// claimKeys makes each new key belong to the first draft that has it. A key that
// another transaction is about to commit is waited for, so that nobody is told of an
// event that then vanishes. Of keys that are taken for fresh, one that is not fails the
// transaction.
func claimKeys(ctx context.Context, tx *database.Tx, arrivals []arrival, fresh bool) (keyring, error) {
	ring := keyring{at: map[string]known{}, won: map[string]bool{}}
	var keys []string
	for _, a := range arrivals {
		for _, e := range a.events {
			if _, ok := ring.at[e.key]; !ok {
				ring.at[e.key] = known{e.id, a.correlationID}
				keys = append(keys, e.key)
			}
		}
	}
	slices.Sort(keys) // two groups that lock the same keys in two orders would deadlock
	rows := database.NewRows("idempotency_key text", "event_id uuid", "correlation_id text", "created_at timestamptz").Expect(len(keys))
	for _, key := range keys {
		rows.Add(key, ring.at[key].eventID, ring.at[key].correlationID, tx.Now)
	}
	var won []string
	if fresh {
		if err := tx.Insert(ctx, "idempotency_keys", rows); err != nil {
			return ring, err
		}
		won = keys
	} else if err := tx.SelectRows(ctx, &won, rows, insertKeysSQL); err != nil {
		return ring, fmt.Errorf("claim idempotency keys: %w", err)
	}
	for _, key := range won {
		ring.won[key] = true
	}
	return ring, ring.lookUp(ctx, tx, keys)
}

// lookUp finds the events of the keys that were not won.
func (r keyring) lookUp(ctx context.Context, tx *database.Tx, keys []string) error {
	lost := database.NewRows("idempotency_key text")
	for _, key := range keys {
		if !r.won[key] {
			lost.Add(key)
		}
	}
	if lost.Len() == 0 {
		return nil
	}
	var first []struct {
		Key           string `db:"idempotency_key"`
		EventID       string `db:"event_id"`
		CorrelationID string `db:"correlation_id"`
	}
	if err := tx.SelectRows(ctx, &first, lost, selectKeysSQL); err != nil {
		return fmt.Errorf("look up idempotency keys: %w", err)
	}
	if len(first) != lost.Len() { // deleted in between by retention; the sender's next try finds it free
		return fault.Unavailable.New("key_vanished", "The event was removed at this very moment.")
	}
	for _, f := range first {
		r.at[f.Key] = known{f.EventID, f.CorrelationID}
	}
	return nil
}

// winners are the arrivals with new events, with those alone.
func (r keyring) winners(arrivals []arrival) []arrival {
	var news []arrival
	for _, a := range arrivals {
		a.events = slices.DeleteFunc(slices.Clone(a.events), func(d draft) bool {
			return !r.won[d.key] || r.at[d.key].eventID != d.id
		})
		if len(a.events) > 0 {
			news = append(news, a)
		}
	}
	return news
}

func insertWebhooks(ctx context.Context, tx *database.Tx, news []arrival) error {
	rows := database.NewRows("id uuid", "integration_id uuid", "source text", "provider text", "external_event_id text",
		"idempotency_key text", "signature_valid boolean", "request_headers text", "raw_body bytea", "body_state text", "source_ip text",
		"correlation_id text", "received_at timestamptz").Expect(len(news))
	for _, a := range news {
		first := a.events[0]
		rows.Add(a.webhookID, a.source.integrationID, a.source.name, a.source.spec.Name, first.ID,
			first.key, true, string(a.headers), a.body, a.bodyState(), a.sourceIP, a.correlationID, a.receivedAt)
	}
	return tx.Insert(ctx, "webhook_events", rows)
}

// insertEvents stores the events. One is created when its id says, so that lists in that
// order need no index of their own.
func insertEvents(ctx context.Context, tx *database.Tx, news []arrival) error {
	rows := database.NewRows("id uuid", "webhook_event_id uuid", "integration_id uuid", "source text", "provider text",
		"external_event_id text", "event_type text", "subject text", "occurred_at timestamptz", "normalized_payload bytea",
		"correlation_id text", "received_at timestamptz", "created_at timestamptz").Expect(len(news))
	for _, a := range news {
		for _, e := range a.events {
			rows.Add(e.id, a.webhookID, a.source.integrationID, a.source.name, a.source.spec.Name,
				e.ID, e.Type, e.Subject, e.OccurredAt, e.Payload, a.correlationID, a.receivedAt, id.Time(e.id))
		}
	}
	return tx.Insert(ctx, "normalized_events", rows)
}

// insertStates lets events wait for their jobs; those that have none are done, and say why.
func insertStates(ctx context.Context, tx *database.Tx, news []arrival, scheduled map[string]contract.Scheduled) error {
	rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "last_error text", "last_processed_at timestamptz",
		"received_at timestamptz", "updated_at timestamptz").Expect(len(news))
	for _, a := range news {
		for _, e := range a.events {
			if to := scheduled[e.id]; len(to.Jobs) == 0 {
				rows.Add(e.id, string(contract.EventProcessed), 0, &to.Reason, tx.Now, a.receivedAt, tx.Now)
			} else {
				rows.Add(e.id, string(contract.EventPending), 0, nil, nil, a.receivedAt, tx.Now)
			}
		}
	}
	return tx.Insert(ctx, "event_states", rows)
}

// NewIntegration is a source to be set up.
type NewIntegration struct {
	Source   string
	Provider string
	Name     string
	Secrets  []secret.Value
}

const insertIntegrationSQL = `
INSERT INTO integrations (id, source, provider, name, is_active, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (source) DO NOTHING`

const selectIntegrationIDSQL = `
SELECT id FROM integrations WHERE source = $1`

// AddIntegration sets up a source with its secrets, unless it exists: then it and
// its secrets stay as they are. It gives the source's integration and whether it is new.
func (m *Module) AddIntegration(ctx context.Context, tx *database.Tx, n NewIntegration) (integrationID string, created bool, err error) {
	if !validSource(n.Source) {
		return "", false, fault.Invalid.New("bad_source", "A source is named with lower-case letters, digits, - and _, at most %d.", maxSourceName).At("source")
	}
	if _, ok := m.d.Providers.Spec(n.Provider); !ok {
		return "", false, fault.Invalid.New("unknown_provider", "There is no provider %s.", n.Provider).At("provider")
	}
	integrationID = id.New()
	inserted, err := tx.Exec(ctx, insertIntegrationSQL, integrationID, n.Source, n.Provider, n.Name, true, tx.Now)
	if err != nil {
		return "", false, fmt.Errorf("insert integration: %w", err)
	}
	if inserted == 0 {
		if err := tx.Get(ctx, &integrationID, selectIntegrationIDSQL, n.Source); err != nil {
			return "", false, fmt.Errorf("find integration: %w", err)
		}
		return integrationID, false, nil
	}
	tx.AfterCommit(func() { m.sources.invalidate(n.Source) }) // it may be remembered as unknown
	rows := database.NewRows("id uuid", "integration_id uuid", "secret text", "is_active boolean", "created_at timestamptz")
	for _, s := range n.Secrets {
		sealed, err := m.d.Sealer.Seal(s)
		if err != nil {
			return "", false, fmt.Errorf("seal a secret: %w", err)
		}
		rows.Add(id.New(), integrationID, sealed, true, tx.Now)
	}
	return integrationID, true, tx.Insert(ctx, "integration_secrets", rows)
}

const countIntegrationsSQL = `
SELECT count(*) FROM integrations`

// CountIntegrations is the number of integrations, inactive ones included.
func (m *Module) CountIntegrations(ctx context.Context) (int, error) {
	var n int
	if err := m.d.DB.Get(ctx, &n, countIntegrationsSQL); err != nil {
		return 0, fmt.Errorf("count integrations: %w", err)
	}
	return n, nil
}
