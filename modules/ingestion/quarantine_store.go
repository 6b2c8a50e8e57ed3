package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// flushQuarantine writes what waits, keeps each source within its bounds, and removes what
// has been there for long enough.
func (m *Module) flushQuarantine(ctx context.Context) error {
	if m.cfg.Quarantine.Retention == 0 {
		return nil
	}
	taken := m.cell.take()
	if len(taken) == 0 && !m.cell.purgeDue(m.d.Now()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := insertQuarantined(ctx, tx, taken); err != nil {
			return err
		}
		return m.trimQuarantine(ctx, tx, taken)
	})
	switch {
	case fault.Is(err, fault.Unavailable):
		m.cell.giveBack(taken)
	case err != nil:
		m.cell.drop(len(taken)) // trying again cannot help
	}
	if err != nil {
		return fmt.Errorf("write %d refused requests: %w", len(taken), err)
	}
	return nil
}

func insertQuarantined(ctx context.Context, tx *database.Tx, all []quarantined) error {
	rows := database.NewRows("id uuid", "source text", "integration_id uuid", "provider text", "reason text", "detail text", "method text",
		"url text", "request_headers text", "header_digests text", "raw_body bytea", "size bigint", "redacted boolean", "source_ip text", "correlation_id text",
		"received_at timestamptz")
	for _, q := range all {
		rows.Add(q.ID, q.Source, q.IntegrationID, q.Provider, q.Reason, q.Detail, q.Method, q.URL, q.Headers, q.Digests, q.Body, q.Size, q.Redacted,
			q.SourceIP, q.CorrelationID, q.ReceivedAt.Time)
	}
	return tx.Insert(ctx, "quarantine", rows)
}

const purgeQuarantineSQL = `
DELETE FROM quarantine
WHERE  received_at < $1`

// The newest of a source are kept, in number and in size.
const trimQuarantineSQL = `
DELETE FROM quarantine
WHERE  id IN (
       SELECT id
       FROM  (SELECT id, row_number() OVER newest AS number, sum(size) OVER newest AS bytes
              FROM   quarantine
              WHERE  source = $1
              WINDOW newest AS (ORDER BY id DESC)) kept
       WHERE  number > $2 OR bytes > $3)`

func (m *Module) trimQuarantine(ctx context.Context, tx *database.Tx, added []quarantined) error {
	if _, err := tx.Exec(ctx, purgeQuarantineSQL, m.d.Now().Add(-m.cfg.Quarantine.Retention)); err != nil {
		return fmt.Errorf("remove what is old: %w", err)
	}
	sources := map[string]bool{}
	for _, q := range added {
		sources[q.Source] = true
	}
	for _, source := range slices.Sorted(maps.Keys(sources)) {
		if _, err := tx.Exec(ctx, trimQuarantineSQL, source, m.cfg.Quarantine.PerSource, m.cfg.Quarantine.BytesPerSource); err != nil {
			return fmt.Errorf("remove what is too much: %w", err)
		}
	}
	return nil
}

// QuarantineFilter says which refused requests are wanted; "" means any.
type QuarantineFilter struct{ Source, Reason string }

func (f QuarantineFilter) conditions() *database.Filter {
	var c database.Filter
	if f.Source != "" {
		c.Add("source = ?", f.Source)
	}
	if f.Reason != "" {
		c.Add("reason = ?", f.Reason)
	}
	return &c
}

const quarantineColumns = `id, source, integration_id, provider, reason, detail, source_ip, correlation_id, size, redacted, received_at`

var newestQuarantined = database.Listing[Quarantined]{
	Columns: quarantineColumns, From: "quarantine", ID: "id", Desc: true,
	Key: func(q Quarantined) database.Position { return database.Position{ID: q.ID} },
}

// Quarantined gives a page of the refused requests that f means, the newest first.
func (m *Module) Quarantined(ctx context.Context, f QuarantineFilter, page database.Page) (database.List[Quarantined], error) {
	conditions := f.conditions()
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		conditions.Among("source", scope.Sources)
	}
	list, err := database.ReadList(ctx, m.d.DB, newestQuarantined, conditions, page)
	if err != nil {
		return list, fmt.Errorf("list the quarantine: %w", err)
	}
	return list, nil
}

const selectQuarantinedSQL = `
SELECT ` + quarantineColumns + `, method, url, request_headers, header_digests, raw_body
FROM   quarantine
WHERE  id = $1`

func (m *Module) quarantined(ctx context.Context, quarantineID string) (quarantined, error) {
	var q quarantined
	switch err := m.d.DB.Get(ctx, &q, selectQuarantinedSQL, quarantineID); {
	case errors.Is(err, sql.ErrNoRows):
		return q, notQuarantined(quarantineID)
	case err != nil:
		return q, fmt.Errorf("read from quarantine: %w", err)
	case !httpapi.SeesSource(ctx, q.Source):
		return q, notQuarantined(quarantineID)
	}
	return q, nil
}

func notQuarantined(quarantineID string) error {
	return fault.NotFound.New("not_quarantined", "There is no request %s in quarantine.", quarantineID)
}

const selectQuarantineIDsSQL = `
SELECT id
FROM   quarantine
WHERE  source = $1 AND ($2 = '' OR reason = $2)
ORDER  BY id
LIMIT  $3`

// oldestQuarantined gives the ids of a source's refused requests, oldest first.
func (m *Module) oldestQuarantined(ctx context.Context, f QuarantineFilter, limit int) ([]string, error) {
	var ids []string
	if !httpapi.SeesSource(ctx, f.Source) {
		return nil, nil
	}
	if err := m.d.DB.Select(ctx, &ids, selectQuarantineIDsSQL, f.Source, f.Reason, limit); err != nil {
		return nil, fmt.Errorf("list the quarantine: %w", err)
	}
	return ids, nil
}

const deleteQuarantinedSQL = `
DELETE FROM quarantine
WHERE  id = $1`

// unkeep removes a request from quarantine, audited as action.
func (m *Module) unkeep(ctx context.Context, tx *database.Tx, q Quarantined, action string, eventID string) error {
	n, err := tx.Exec(ctx, deleteQuarantinedSQL, q.ID)
	switch {
	case err != nil:
		return fmt.Errorf("remove from quarantine: %w", err)
	case n == 0:
		return notQuarantined(q.ID)
	}
	return m.auditChange(ctx, tx, entityQuarantine, q.ID, action, quarantineDetails{
		Source: q.Source, IntegrationID: q.IntegrationID, Reason: q.Reason, EventID: eventID, CorrelationID: q.CorrelationID})
}

// RemoveQuarantined drops a refused request for good.
func (m *Module) RemoveQuarantined(ctx context.Context, quarantineID string) error {
	q, err := m.quarantined(ctx, quarantineID)
	if err != nil {
		return err
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.unkeep(ctx, tx, q.Quarantined, "quarantine.deleted", "")
	})
}

const entityQuarantine = "quarantine"

// quarantineDetails are what audit entries of refused requests say.
type quarantineDetails struct {
	Source        string `json:"source"`
	IntegrationID string `json:"integrationId"`
	Reason        string `json:"reason"`
	EventID       string `json:"eventId,omitempty"`
	CorrelationID string `json:"correlationId"`
}

// keptURL is the request's address without its query, which may hold anybody's token,
// unless the provider signs it.
func keptURL(spec provider.Spec, address string) string {
	if !spec.SignsURL {
		address, _, _ = strings.Cut(address, "?")
	}
	return provider.Clean(address)
}
