package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// QuarantineFilter selects refused requests; "" matches any.
type QuarantineFilter struct {
	Source, Reason, SourceIP string
	ExternalEventID          string
	ReceivedFrom, ReceivedTo *time.Time // both included
}

func (f QuarantineFilter) conditions() *database.Filter {
	var c database.Filter
	for _, exact := range []struct{ column, value string }{{"source", f.Source}, {"reason", f.Reason}, {"source_ip", f.SourceIP}, {"external_event_id", f.ExternalEventID}} {
		if exact.value != "" {
			c.Add(exact.column+" = ?", exact.value)
		}
	}
	if f.ReceivedFrom != nil {
		c.Add("received_at >= ?", *f.ReceivedFrom)
	}
	if f.ReceivedTo != nil {
		c.Add("received_at <= ?", *f.ReceivedTo)
	}
	return &c
}

// within adds what the caller may see.
func (f QuarantineFilter) within(ctx context.Context) *database.Filter {
	c := f.conditions()
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		c.Among("source", scope.Sources)
	}
	return c
}

const quarantineColumns = `id, source, integration_id, provider, reason, detail, external_event_id, source_ip, correlation_id, size, redacted, repeats, received_at, last_received_at`

var newestQuarantined = database.Listing[Quarantined]{
	Columns: quarantineColumns, From: "quarantine", ID: "id", Desc: true,
	Key: func(q Quarantined) database.Position { return database.Position{ID: q.ID} },
}

// Quarantined returns a page of the refused requests that match f, newest first.
func (m *Module) Quarantined(ctx context.Context, f QuarantineFilter, page database.Page) (database.List[Quarantined], error) {
	list, err := database.ReadList(ctx, m.d.DB, newestQuarantined, f.within(ctx), page)
	if err != nil {
		return list, fmt.Errorf("list the quarantine: %w", err)
	}
	return list, nil
}

const selectQuarantinedSQL = `
SELECT ` + quarantineColumns + `, method, url, request_headers, header_digests, raw_body, packed
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
	return q, q.unpack()
}

func notQuarantined(quarantineID string) error {
	return fault.NotFound.New("not_quarantined", "There is no request %s in quarantine.", quarantineID)
}

// oldestQuarantined lists refused requests in the order in which they are released.
var oldestQuarantined = database.Listing[Quarantined]{
	Columns: quarantineColumns, From: "quarantine", ID: "id", CountAll: true,
	Key: func(q Quarantined) database.Position { return database.Position{ID: q.ID} },
}

const deleteQuarantinedSQL = `
DELETE FROM quarantine
WHERE  id = $1`

// removeFromQuarantine deletes a request from quarantine and audits it as action.
func (m *Module) removeFromQuarantine(ctx context.Context, tx *database.Tx, q Quarantined, action string, eventID string) error {
	n, err := tx.Exec(ctx, deleteQuarantinedSQL, q.ID)
	switch {
	case err != nil:
		return fmt.Errorf("remove from quarantine: %w", err)
	case n == 0:
		return notQuarantined(q.ID)
	}
	return m.auditQuarantine(ctx, tx, q, action, eventID)
}

func (m *Module) auditQuarantine(ctx context.Context, tx *database.Tx, q Quarantined, action, eventID string) error {
	return m.auditChange(ctx, tx, entityQuarantine, q.ID, action, quarantineDetails{
		Source: q.Source, IntegrationID: q.IntegrationID, Reason: q.Reason, EventID: eventID, CorrelationID: q.CorrelationID})
}

// RemoveQuarantined deletes a refused request.
func (m *Module) RemoveQuarantined(ctx context.Context, quarantineID string) error {
	q, err := m.quarantined(ctx, quarantineID)
	if err != nil {
		return err
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.removeFromQuarantine(ctx, tx, q.Quarantined, "quarantine.deleted", "")
	})
}

const entityQuarantine = "quarantine"

// quarantineDetails are the details of audit entries about refused requests.
type quarantineDetails struct {
	Source        string `json:"source"`
	IntegrationID string `json:"integrationId"`
	Reason        string `json:"reason"`
	EventID       string `json:"eventId,omitempty"`
	CorrelationID string `json:"correlationId"`
}

// storedURL returns what is kept of the request's URL.
func storedURL(spec provider.Spec, address string) string {
	return provider.Clean(spec.StoredURL(address))
}

// withoutSegments redacts the path after the source, which may hold a token.
func withoutSegments(address string) string { return storedURL(provider.Spec{}, address) }
