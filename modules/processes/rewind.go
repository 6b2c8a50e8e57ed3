package processes

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// The cache remembers the time of the last heartbeat for as long as an installation may be
// shut down.
const (
	lastSeenKey     = "database:last-seen"
	lastSeenTTL     = 90 * 24 * time.Hour
	lastSeenEvery   = 5 * time.Second
	lastSeenTimeout = 250 * time.Millisecond
)

// cachedLastSeen returns the time of the last committed heartbeat according to the cache;
// the zero time if it has none.
func (m *Module) cachedLastSeen(ctx context.Context) time.Time {
	ctx, cancel := context.WithTimeout(ctx, lastSeenTimeout)
	defer cancel()
	had, err := m.d.Cache.Claim(ctx, []cache.Claim{{Key: lastSeenKey, Value: "", TTL: lastSeenTTL}})
	if err != nil || len(had) != 1 || had[0].Won {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, had[0].Value)
	if err != nil {
		return time.Time{}
	}
	return at
}

// cacheLastSeen stores the time of a committed heartbeat in the cache.
func (m *Module) cacheLastSeen(ctx context.Context, at time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lastSeenTimeout)
	defer cancel()
	_ = m.d.Cache.Set(ctx, []cache.Item{{Key: lastSeenKey, Value: at.UTC().Format(time.RFC3339Nano), TTL: lastSeenTTL}}) // the next call retries
}

// lastSeen returns the newest heartbeat in the database; the zero time for none.
func lastSeen(ctx context.Context, tx *database.Tx) (time.Time, error) {
	var at clock.Time
	err := tx.Get(ctx, &at, selectLastSeenSQL)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, fmt.Errorf("look up the last heartbeat: %w", err)
	}
	return at.Time, nil
}

// span is a period whose commits are lost.
type span struct{ from, until time.Time }

// reportRewind logs that the database has lost the commits of a period, and records it, now
// or with a later heartbeat.
func (m *Module) reportRewind(ctx context.Context, from, until time.Time) {
	m.d.Log.ErrorContext(ctx, "the database has lost commits: a lagging standby was promoted or a backup restored; have providers resend what they sent in this period",
		"lost_from", clock.At(from).String(), "lost_until", clock.At(until).String())
	m.rewinds = append(m.rewinds, span{from, until})
	m.recordRewinds(ctx)
}

// recordRewinds stores the rewinds that are not recorded yet.
func (m *Module) recordRewinds(ctx context.Context) {
	for len(m.rewinds) > 0 {
		if err := m.recordRewind(ctx, m.rewinds[0]); err != nil {
			m.d.Log.WarnContext(ctx, "recording a database rewind failed; will retry", "error", err)
			return
		}
		m.rewinds = m.rewinds[1:]
	}
}

func (m *Module) recordRewind(ctx context.Context, lost span) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, widenRewindSQL, lost.from, lost.until)
		if err != nil || n > 0 {
			return err
		}
		if _, err := tx.Exec(ctx, insertRewindSQL, id.New(), lost.from, lost.until, tx.Now); err != nil {
			return err
		}
		details, _ := json.Marshal(map[string]any{"lostFrom": clock.At(lost.from), "lostUntil": clock.At(lost.until)}) // times always marshal
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityDatabase, Action: "database.rewound",
			Actor: contract.ActorGateway, Details: details}})
	})
}

const acknowledgeSQL = `
UPDATE database_rewinds SET acknowledged_at = $2
WHERE  id = $1 AND acknowledged_at IS NULL`

// Acknowledge records that an operator has handled a rewind of the database; false if that
// was recorded before.
func (m *Module) Acknowledge(ctx context.Context, rewindID string) (done bool, err error) {
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, acknowledgeSQL, rewindID, tx.Now)
		if done = n == 1; err != nil || !done {
			return err
		}
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityDatabase, EntityID: &rewindID,
			Action: "database.rewind_acknowledged", Actor: contract.ActorCLI, Details: json.RawMessage("{}")}})
	})
	if err != nil {
		return false, fmt.Errorf("acknowledge the rewind %s: %w", rewindID, err)
	}
	return done, nil
}
