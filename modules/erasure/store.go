package erasure

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The statuses of an erasure. Nothing follows completed and cancelled.
const (
	queued    = "queued"
	running   = "running"
	completed = "completed"
	cancelled = "cancelled"
)

// The stages of an erasure, in this order.
const (
	inQuarantine = "quarantine"
	inEvents     = "events"
)

// Scan reads a target column.
func (t *target) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return json.Unmarshal([]byte(v), t)
	case []byte:
		return json.Unmarshal(v, t)
	}
	return fmt.Errorf("cannot read a target from %T", src)
}

// erasure is a row of erasures.
type erasure struct {
	ID              string      `db:"id"`
	Status          string      `db:"status"`
	Kind            string      `db:"kind"`
	Target          target      `db:"target"`
	TextDigest      *string     `db:"text_digest"` // keyed; nil of an erasure by ids
	MostEvents      *int        `db:"most_events"`
	Limited         bool        `db:"limited"`
	RequestedBy     string      `db:"requested_by"`
	Reason          string      `db:"reason"`
	Actor           string      `db:"actor"`
	Stage           string      `db:"stage"`
	AfterQuarantine *string     `db:"after_quarantine_id"` // nil until the search of the quarantine is marked
	AfterAt         clock.Time  `db:"after_at"`
	AfterID         string      `db:"after_id"`
	UpTo            clock.Time  `db:"up_to"`
	Looked          int         `db:"looked"`
	Unreadable      int         `db:"unreadable"`
	Events          int         `db:"events"`
	Webhooks        int         `db:"webhooks"`
	Others          int         `db:"others"`
	Deliveries      int         `db:"deliveries"`
	Answers         int         `db:"answers"`
	DeadLetters     int         `db:"dead_letters"`
	Quarantined     int         `db:"quarantined"`
	CreatedAt       clock.Time  `db:"created_at"`
	UpdatedAt       clock.Time  `db:"updated_at"`
	StartedAt       *clock.Time `db:"started_at"`
	EndedAt         *clock.Time `db:"ended_at"`
}

const erasureColumns = `id, status, kind, target, text_digest, most_events, limited, requested_by, reason, actor, stage, after_quarantine_id,
       after_at, after_id, up_to, looked, unreadable, events, webhooks, others, deliveries, answers, dead_letters, quarantined,
       created_at, updated_at, started_at, ended_at`

func (e erasure) position() contract.ReplayPosition {
	return contract.ReplayPosition{At: e.AfterAt.Time, EventID: e.AfterID}
}

func (e erasure) counts() contract.ErasureCounts {
	return contract.ErasureCounts{Events: e.Events, Webhooks: e.Webhooks, Others: e.Others, Deliveries: e.Deliveries,
		Answers: e.Answers, DeadLetters: e.DeadLetters, Quarantined: e.Quarantined}
}

// noEvent is before every id.
const noEvent = "00000000-0000-0000-0000-000000000000"

// startOf is the position before the first event that a target can match.
func startOf(t target) contract.ReplayPosition {
	start := contract.ReplayPosition{At: time.Unix(0, 0).UTC(), EventID: noEvent}
	if from := timeOf(t.ReceivedFrom); from != nil {
		start.At = *from
	}
	return start
}

const insertSQL = `
INSERT INTO erasures (id, status, kind, target, text_digest, most_events, limited, requested_by, reason, actor, stage, after_at, after_id, up_to, lease_token, lease_until,
       looked, unreadable, events, webhooks, others, deliveries, answers, dead_letters, quarantined, created_at, updated_at)
VALUES ($1, 'queued', $2, $3, $4, $5, false, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0, 0, 0, 0, 0, 0, 0, 0, $12, $12)`

// insert stores a new erasure with its lease, and the sources that it is restricted to; nil for all.
func insert(ctx context.Context, tx *database.Tx, e erasure, sources []string, token *string, until *time.Time) error {
	text, err := json.Marshal(e.Target)
	if err != nil {
		return fmt.Errorf("write the target: %w", err)
	}
	_, err = tx.Exec(ctx, insertSQL, e.ID, e.Kind, string(text), e.TextDigest, e.MostEvents, e.RequestedBy, e.Reason, e.Actor, e.Stage,
		e.AfterAt, e.AfterID, e.CreatedAt, token, until)
	if err != nil {
		return fmt.Errorf("store the erasure: %w", err)
	}
	if sources != nil && len(sources) == 0 {
		sources = []string{""} // restricted to nothing
	}
	rows := database.NewRows("erasure_id uuid", "source text")
	for _, source := range sources {
		rows.Add(e.ID, source)
	}
	return tx.Insert(ctx, "erasure_sources", rows)
}

const selectSourcesSQL = `
SELECT source FROM erasure_sources WHERE erasure_id = $1 ORDER BY source`

// sourcesOf returns the sources that an erasure is restricted to; nil for all.
func (m *Module) sourcesOf(ctx context.Context, erasureID string) (sources []string, err error) {
	if err := m.d.DB.Select(ctx, &sources, selectSourcesSQL, erasureID); err != nil {
		return nil, fmt.Errorf("read the sources of erasure %s: %w", erasureID, err)
	}
	return sources, nil
}

// addScope restricts a list to the erasures whose sources are all in ctx's scope.
func addScope(ctx context.Context, f *database.Filter) {
	scope := httpapi.ScopeOf(ctx)
	if scope == nil {
		return
	}
	within, args := "1 = 0", []any{}
	for _, source := range scope.Sources {
		within += " OR s.source = ?"
		args = append(args, source)
	}
	f.Add("EXISTS (SELECT 1 FROM erasure_sources s WHERE s.erasure_id = erasures.id)")
	f.Add("NOT EXISTS (SELECT 1 FROM erasure_sources s WHERE s.erasure_id = erasures.id AND NOT ("+within+"))", args...)
}

const selectSQL = `
SELECT ` + erasureColumns + `
FROM   erasures`

// visible returns an erasure. Those outside ctx's scope are not found.
func (m *Module) visible(ctx context.Context, erasureID string) (e erasure, err error) {
	var f database.Filter
	f.Add("id = ?", erasureID)
	addScope(ctx, &f)
	where, args := f.Where()
	switch err := m.d.DB.Get(ctx, &e, selectSQL+where, args...); {
	case errors.Is(err, sql.ErrNoRows):
		return e, fault.NotFound.New("erasure_not_found", "There is no erasure %s.", erasureID)
	case err != nil:
		return e, fmt.Errorf("read erasure %s: %w", erasureID, err)
	}
	return e, nil
}

// newestFirst lists erasures by id, which sorts by creation time.
var newestFirst = database.Listing[erasure]{
	Columns: erasureColumns, From: "erasures", ID: "id", Desc: true,
	Key: func(e erasure) database.Position { return database.Position{ID: e.ID} },
}

func (m *Module) readList(ctx context.Context, status string, from, to *time.Time, page database.Page) (database.List[erasure], error) {
	var f database.Filter
	if status != "" {
		f.Add("status = ?", status)
	}
	f.CreatedBetween("id", "created_at", from, to)
	addScope(ctx, &f)
	return database.ReadList(ctx, m.d.DB, newestFirst, &f, page)
}
