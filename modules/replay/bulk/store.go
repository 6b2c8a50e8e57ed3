package bulk

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
	"integration-gateway/platform/httpapi"
)

// The statuses of a replay. Nothing follows completed and cancelled.
const (
	queued    = "queued"
	running   = "running"
	paused    = "paused"
	completed = "completed"
	cancelled = "cancelled"
)

// Scan reads a filter column.
func (f *filter) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return json.Unmarshal([]byte(v), f)
	case []byte:
		return json.Unmarshal(v, f)
	}
	return fmt.Errorf("cannot read a filter from %T", src)
}

// replay is a row of replays.
type replay struct {
	ID            string      `db:"id"`
	Status        string      `db:"status"`
	Filter        filter      `db:"filter"`
	DestinationID *string     `db:"destination_id"`
	URL           *string     `db:"url"` // where it goes in place of destinations
	Payload       string      `db:"payload"`
	Rate          int         `db:"rate"`
	RequestedBy   string      `db:"requested_by"`
	Reason        string      `db:"reason"`
	Actor         string      `db:"actor"`
	Matched       int64       `db:"matched"`
	Queued        int64       `db:"queued"`
	Delivered     int64       `db:"delivered"`
	Failed        int64       `db:"failed"`
	AfterAt       clock.Time  `db:"after_at"`
	AfterID       string      `db:"after_id"`
	UpTo          clock.Time  `db:"up_to"`
	NextAt        clock.Time  `db:"next_at"`
	CreatedAt     clock.Time  `db:"created_at"`
	UpdatedAt     clock.Time  `db:"updated_at"`
	StartedAt     *clock.Time `db:"started_at"`
	CountedAt     *clock.Time `db:"counted_at"`
	ScannedAt     *clock.Time `db:"scanned_at"`
	EndedAt       *clock.Time `db:"ended_at"`
}

const replayColumns = `id, status, filter, destination_id, (SELECT u.url FROM replay_urls u WHERE u.id = replays.id) AS url, payload, rate, requested_by, reason, actor, matched, queued, delivered, failed,
       after_at, after_id, up_to, next_at, created_at, updated_at, started_at, counted_at, scanned_at, ended_at`

// bulk is what the replay's requests have in common.
func (r replay) bulk() contract.BulkReplay {
	return contract.BulkReplay{ID: r.ID, RequestedBy: r.RequestedBy, Reason: r.Reason, Actor: r.Actor, ToURL: r.URL != nil,
		Renormalized: r.Payload == contract.PayloadRenormalized}
}

func (r replay) where() where { return where{r.DestinationID, r.URL != nil} }

func (r replay) position() contract.ReplayPosition {
	return contract.ReplayPosition{At: r.AfterAt.Time, EventID: r.AfterID}
}

// noEvent is before every event's id.
const noEvent = "00000000-0000-0000-0000-000000000000"

// startOf is the position before the first event that a filter can match.
func startOf(f filter) contract.ReplayPosition {
	start := contract.ReplayPosition{At: time.Unix(0, 0).UTC(), EventID: noEvent}
	if from := timeOf(f.ReceivedFrom); from != nil {
		start.At = *from
	}
	return start
}

const insertSQL = `
INSERT INTO replays (id, status, filter, destination_id, payload, rate, requested_by, reason, actor, matched, queued, delivered, failed,
       after_at, after_id, up_to, next_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, 0, $10, $11, $12, $12, $12, $12)`

// insert stores a new replay and the integrations that it is restricted to; nil for all.
func insert(ctx context.Context, tx *database.Tx, r replay, integrations []string) error {
	text, err := json.Marshal(r.Filter)
	if err != nil {
		return fmt.Errorf("write the filter: %w", err)
	}
	_, err = tx.Exec(ctx, insertSQL, r.ID, r.Status, string(text), r.DestinationID, r.Payload, r.Rate, r.RequestedBy, r.Reason, r.Actor,
		r.AfterAt, r.AfterID, r.CreatedAt)
	if err != nil {
		return fmt.Errorf("store the replay: %w", err)
	}
	if integrations != nil && len(integrations) == 0 {
		integrations = []string{noEvent} // restricted to nothing
	}
	rows := database.NewRows("replay_id uuid", "integration_id uuid")
	for _, integration := range integrations {
		rows.Add(r.ID, integration)
	}
	return tx.Insert(ctx, "replay_sources", rows)
}

const selectSourcesSQL = `
SELECT integration_id FROM replay_sources WHERE replay_id = $1 ORDER BY integration_id`

// sourcesOf returns the integrations that a replay is restricted to; nil for all.
func sourcesOf(ctx context.Context, db *database.DB, replayID string) (ids []string, err error) {
	if err := db.Select(ctx, &ids, selectSourcesSQL, replayID); err != nil {
		return nil, fmt.Errorf("read the sources of replay %s: %w", replayID, err)
	}
	return ids, nil
}

const selectSQL = `
SELECT ` + replayColumns + `
FROM   replays`

// addScope restricts a list to the replays whose sources are all in ctx's scope.
func addScope(ctx context.Context, f *database.Filter) {
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		restrictTo(f, scope.Integrations)
	}
}

// restrictTo restricts a list to the replays that are restricted to some of these integrations.
func restrictTo(f *database.Filter, integrations []string) {
	within, args := "1 = 0", []any{}
	for i, integration := range integrations {
		if i == 0 {
			within = ""
		} else {
			within += " OR "
		}
		within += "s.integration_id = ?"
		args = append(args, integration)
	}
	f.Add("EXISTS (SELECT 1 FROM replay_sources s WHERE s.replay_id = replays.id)")
	f.Add("NOT EXISTS (SELECT 1 FROM replay_sources s WHERE s.replay_id = replays.id AND NOT ("+within+"))", args...)
}

// Visible returns a replay. Those outside ctx's scope are not found.
func (m *Replays) Visible(ctx context.Context, replayID string) (replay, error) {
	var f database.Filter
	f.Add("id = ?", replayID)
	addScope(ctx, &f)
	where, args := f.Where()
	var r replay
	switch err := m.d.DB.Get(ctx, &r, selectSQL+where, args...); {
	case errors.Is(err, sql.ErrNoRows):
		return r, notFound(replayID)
	case err != nil:
		return r, fmt.Errorf("read replay %s: %w", replayID, err)
	}
	return r, nil
}

// newestFirst lists replays by id, which sorts by creation time.
var newestFirst = database.Listing[replay]{
	Columns: replayColumns, From: "replays", ID: "id", Desc: true,
	Key: func(r replay) database.Position { return database.Position{ID: r.ID} },
}

func (m *Replays) readList(ctx context.Context, status, destinationID string, from, to *time.Time, page database.Page) (database.List[replay], error) {
	var f database.Filter
	if status != "" {
		f.Add("status = ?", status)
	}
	if destinationID != "" { // the filter's text has no such text elsewhere: quotes within a text are escaped
		f.Add("(destination_id = ? OR filter LIKE ?)", destinationID, `%"destination":"`+destinationID+`"%`)
	}
	f.CreatedBetween("id", "created_at", from, to)
	addScope(ctx, &f)
	return database.ReadList(ctx, m.d.DB, newestFirst, &f, page)
}
