package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// seen is the newest seal that a process knows of. Whoever removes the newest seals removes what proves the
// entries under them: these would be sealed again, as they are then.
type seen struct {
	Seq  int64  `json:"seal"`
	Hash string `json:"hash"`
}

// sealsLost is the action of the entry that says that seals are gone.
const sealsLost = "seals.lost"

// LostSeals is an entry that says that the database had lost seals, or had others in their place.
type LostSeals struct {
	At    clock.Time `json:"at"`
	Seen  int64      `json:"seen"`  // the newest seal that a process had seen
	Found int64      `json:"found"` // the newest seal that was left
	Hash  string     `json:"hash"`  // of the seal that was seen
}

const selectSealHashSQL = `SELECT hash FROM audit_seals WHERE seq = $1`

// missSeals compares the trail with the newest seal that this process has seen. Where the seal is gone or is another
// one, it says so in the log, in a metric and in the trail, and only then lets sealing go on from what is left: a
// failover that loses the last transactions loses seals too.
func (m *Module) missSeals(ctx context.Context, newest seal) error {
	hash := ""
	switch {
	case m.seen.Seq == newest.Seq:
		hash = newest.Hash
	case m.seen.Seq == 0:
	case m.seen.Seq < newest.Seq:
		err := m.db.Get(ctx, &hash, selectSealHashSQL, m.seen.Seq)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the newest seal that this process has seen: %w", err)
		}
	}
	if m.seen.Seq == 0 || hash == m.seen.Hash {
		m.seen = seen{newest.Seq, newest.Hash}
		return nil
	}
	if err := m.recordLoss(ctx, newest); err != nil {
		return fmt.Errorf("audit that seals are gone: %w", err)
	}
	m.log.ErrorContext(ctx, "the database has lost seals of the audit trail: a failover, a restored database, or somebody removed them; sealing goes on from what is left",
		"seen", m.seen.Seq, "seen_hash", m.seen.Hash, "found", newest.Seq, "found_hash", newest.Hash)
	m.metrics.SealsLost()
	m.seen = seen{newest.Seq, newest.Hash}
	m.swept, m.rechecked = newest.SweptSeq, newest.SweptSeq
	return nil
}

// sealsLostKept is how many of the last such entries are looked at: each process that has seen a lost seal would
// write one.
const sealsLostKept = 100

// recordLoss writes the entry, unless another process has.
func (m *Module) recordLoss(ctx context.Context, newest seal) error {
	details, err := json.Marshal(struct {
		Seen  seen `json:"seen"`
		Found seen `json:"found"`
	}{m.seen, seen{newest.Seq, newest.Hash}})
	if err != nil {
		return err
	}
	known, err := lossesOf(ctx, m.db)
	if err != nil {
		return err
	}
	for _, l := range known {
		if l.Seen == m.seen.Seq && l.Hash == m.seen.Hash {
			return nil
		}
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		return m.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityRecords, Action: sealsLost, Actor: contract.ActorGateway, Details: details}})
	})
}

const selectLossesSQL = `
SELECT details, created_at FROM audit_entries WHERE action = $1 ORDER BY id DESC LIMIT $2`

// lossesOf returns the losses of seals that the trail tells of, the last ones first.
func lossesOf(ctx context.Context, db *database.DB) ([]LostSeals, error) {
	var rows []struct {
		Details   string     `db:"details"`
		CreatedAt clock.Time `db:"created_at"`
	}
	if err := db.Select(ctx, &rows, selectLossesSQL, sealsLost, sealsLostKept); err != nil {
		return nil, fmt.Errorf("look for lost seals: %w", err)
	}
	var losses []LostSeals
	for _, r := range rows {
		var details struct{ Seen, Found seen }
		_ = json.Unmarshal([]byte(r.Details), &details) // an entry that was changed tells of a loss too; its seal shows the change
		losses = append(losses, LostSeals{r.CreatedAt, details.Seen.Seq, details.Found.Seq, details.Seen.Hash})
	}
	return losses, nil
}
