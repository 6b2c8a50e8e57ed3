package delivery

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/telemetry"
)

// DeadLetter is a dead letter as it is stored and shown, without its body.
type DeadLetter struct {
	ID              string      `db:"id" json:"id"`
	Kind            string      `db:"kind" json:"kind" api:"enum=exhausted|refused|unreadable"` // exhausted, refused or unreadable
	Queue           string      `db:"queue" json:"queue"`                                       // of its job or message
	EventID         *string     `db:"event_id" json:"eventId"`
	DestinationID   *string     `db:"destination_id" json:"destinationId"`
	JobID           *string     `db:"job_id" json:"jobId"`
	Source          *string     `db:"source" json:"source"`
	Provider        *string     `db:"provider" json:"provider"`
	EventType       *string     `db:"event_type" json:"eventType"`
	Reason          string      `db:"reason" json:"reason"`
	Attempts        int         `db:"attempts" json:"attempts"`                               // at the destination, in all; 0 for a message
	Status          string      `db:"status" json:"status" api:"enum=open|requeued|resolved"` // open, requeued or resolved
	ReplayRequestID *string     `db:"replay_request_id" json:"replayRequestId"`
	CreatedAt       clock.Time  `db:"created_at" json:"createdAt"`
	RequeuedAt      *clock.Time `db:"requeued_at" json:"requeuedAt"`
	RequeuedBy      *string     `db:"requeued_by" json:"requeuedBy"`
	ResolvedAt      *clock.Time `db:"resolved_at" json:"resolvedAt"`
	ResolvedBy      *string     `db:"resolved_by" json:"resolvedBy"` // who closed it by hand; null where a delivery succeeded later, as the next
	Resolution      *string     `db:"resolution" json:"resolution"`  // the reason given
}

// DeadLetterWithBody is a dead letter with its message, in base64 as JSON.
type DeadLetterWithBody struct {
	DeadLetter
	Body []byte `db:"body" json:"body" api:"nullable"`
}

const deadLetterColumns = `id, kind, queue, event_id, destination_id, job_id, source, provider, event_type, reason, attempts,
	status, replay_request_id, created_at, requeued_at, requeued_by, resolved_at, resolved_by, resolution`

// maxFilterText is the longest text of a filter, in bytes.
const maxFilterText = 500

// DeadLetterFilter selects dead letters; empty fields match any.
type DeadLetterFilter struct {
	Kind, Status, Source, Provider, EventType string
	DestinationID, EventID                    string
	Error                                     string     // the reason, exactly
	From, To                                  *time.Time // of createdAt, both included
}

// ParseDeadLetterFilter parses a filter from texts by their names in the API (kind, status,
// source, provider, eventType, destinationId, eventId, from and createdFrom, to and createdTo), and returns all violations.
func ParseDeadLetterFilter(text func(name string) string) (DeadLetterFilter, []fault.Field) {
	var wrong []fault.Field
	fail := func(name, message string) { wrong = append(wrong, fault.Field{Field: name, Message: message}) }
	oneOf := func(name string, allowed ...string) string {
		value := text(name)
		for _, a := range append(allowed, "") {
			if value == a {
				return value
			}
		}
		fail(name, "must be one of "+strings.Join(allowed, ", "))
		return ""
	}
	uuid := func(name string) string {
		value := strings.ToLower(text(name))
		if value != "" && !id.Valid(value) {
			fail(name, "must be a UUID")
		}
		return value
	}
	at := func(name string) *time.Time {
		value := text(name)
		if value == "" {
			return nil
		}
		t, err := time.Parse(time.RFC3339, value)
		if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
			fail(name, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
		}
		return &t
	}
	plain := func(name string) string {
		value := text(name)
		if !plainText(value) {
			fail(name, fmt.Sprintf("must be text of at most %d bytes in UTF-8", maxFilterText))
		}
		return value
	}
	f := DeadLetterFilter{Kind: oneOf("kind", deadExhausted, deadRefused, deadUnreadable),
		Status: oneOf("status", deadOpen, deadRequeued, deadResolved),
		Source: plain("source"), Provider: plain("provider"), EventType: plain("eventType"),
		DestinationID: uuid("destinationId"), EventID: uuid("eventId"), From: cmp.Or(at("createdFrom"), at("from")), To: cmp.Or(at("createdTo"), at("to"))}
	return f, wrong
}

// plainText reports whether a filter's text can be compared with a column.
func plainText(text string) bool {
	return len(text) <= maxFilterText && destination.Storable([]byte(text), maxFilterText) == text
}

// conditions returns f's conditions within the caller's scope. A scope excludes unreadable
// messages: they have no source.
func (f DeadLetterFilter) conditions(ctx context.Context) *database.Filter {
	var c database.Filter
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		c.Among("source", scope.Sources)
	}
	for _, exact := range []struct{ column, value string }{
		{"kind", f.Kind}, {"status", f.Status}, {"source", f.Source}, {"provider", f.Provider}, {"event_type", f.EventType},
		{"destination_id", f.DestinationID}, {"event_id", f.EventID}, {"reason", f.Error},
	} {
		if exact.value != "" {
			c.Add(exact.column+" = ?", exact.value)
		}
	}
	c.CreatedBetween("id", "created_at", f.From, f.To)
	return &c
}

// newestDead lists dead letters by id, which sorts by time of creation.
var newestDead = database.Listing[DeadLetter]{
	Columns: deadLetterColumns, From: "dead_letters", ID: "id", Desc: true,
	Key: func(d DeadLetter) database.Position { return database.Position{ID: d.ID} },
}

// DeadLetters returns a page of the dead letters that match f, newest first.
func (m *Module) DeadLetters(ctx context.Context, f DeadLetterFilter, page database.Page) (database.List[DeadLetter], error) {
	list, err := database.ReadList(ctx, m.db, newestDead, f.conditions(ctx), page)
	if err != nil {
		return list, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}

const selectDeadLetterSQL = `
SELECT ` + deadLetterColumns + `, body
FROM   dead_letters
WHERE  id = $1`

// DeadLetter returns one dead letter, or fault.NotFound.
func (m *Module) DeadLetter(ctx context.Context, deadLetterID string) (DeadLetterWithBody, error) {
	var d DeadLetterWithBody
	switch err := m.db.Get(ctx, &d, selectDeadLetterSQL, deadLetterID); {
	case errors.Is(err, sql.ErrNoRows):
		return d, noDeadLetter(deadLetterID)
	case err != nil:
		return d, fmt.Errorf("read dead letter %s: %w", deadLetterID, err)
	}
	if httpapi.ScopeOf(ctx) != nil && (d.Source == nil || !httpapi.SeesSource(ctx, *d.Source)) {
		return DeadLetterWithBody{}, noDeadLetter(deadLetterID)
	}
	return d, nil
}

func noDeadLetter(deadLetterID string) error {
	return fault.NotFound.New("dead_letter_not_found", "There is no dead letter %s.", deadLetterID)
}

// logged returns the fields of a log line about a dead letter, as far as it has them.
func (d DeadLetter) logged() []any {
	fields := []any{"dead_letter_id", d.ID}
	add := func(name string, value *string) {
		if value != nil {
			fields = append(fields, name, *value)
		}
	}
	add("source", d.Source)
	add(telemetry.EventField, d.EventID)
	add("destination_id", d.DestinationID)
	return fields
}
