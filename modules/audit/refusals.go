package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

const (
	rowsPerWrite = 500 // limits one transaction
	// minuteGrace is how long after its end a minute counts as over: a refusal that read
	// the clock just before the end may be added just after it.
	minuteGrace = time.Second
)

// Refused counts a refused request. It never blocks and never fails. Refusals are written
// as counts by action, entity type, source, reason and minute, so that a flood of them does
// not fill the table.
func (m *Module) Refused(r contract.Refusal) { m.refusals.add(r, m.now()) }

// Run writes refusals until ctx ends, and then the remaining ones within
// Config.ShutdownGrace. The first refusal of a key in a minute is written at the next flush
// with count 1, the others as one count when the minute is over or Run ends. While the
// database is unavailable the counts stay in memory and are tried again. An error means
// that the last write failed, and says how many refusals were lost. A flush whose answer is
// lost is repeated, so a count may be written twice, but is never lost.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.FlushEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return m.lastFlush(ctx)
		case <-tick.C:
		}
		err := m.flush(ctx, false)
		if err != nil && !failing {
			m.log.WarnContext(ctx, "auditing refused requests failed; the counts stay in memory", "error", err)
		}
		failing = err != nil
	}
}

func (m *Module) lastFlush(ctx context.Context) error {
	if err := m.flush(ctx, true); err != nil {
		lost := 0
		for _, s := range m.refusals.due(m.now(), true, maxKeys*2) {
			lost += s.count
		}
		return fmt.Errorf("%d refused requests were not audited: %w", lost, err)
	}
	return nil
}

// flush writes all that is due. It continues after ctx ends, within the grace: an
// interrupted write would be repeated.
func (m *Module) flush(ctx context.Context, last bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.ShutdownGrace)
	defer cancel()
	for {
		now := m.now().Add(-minuteGrace)
		sums := m.refusals.due(now, last, rowsPerWrite)
		if len(sums) > 0 {
			if err := m.recordSums(ctx, sums); err != nil {
				return err
			}
		}
		m.refusals.written(sums, now)
		if len(sums) < rowsPerWrite {
			return nil
		}
	}
}

func (m *Module) recordSums(ctx context.Context, sums []sum) error {
	entries := make([]contract.AuditEntry, len(sums))
	for i, s := range sums {
		entries[i] = s.entry()
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error { return m.Record(ctx, tx, entries) })
}

func (s sum) entry() contract.AuditEntry {
	details, _ := json.Marshal(struct { // strings and a number always marshal
		Source string `json:"source"`
		Reason string `json:"reason"`
		Minute string `json:"minute"`
		Count  int    `json:"count"`
	}{strings.ToValidUTF8(s.Source, "\uFFFD"), s.Reason, time.Unix(s.minute*60, 0).UTC().Format(time.RFC3339), s.count})
	return contract.AuditEntry{EntityType: s.EntityType, Action: s.Action, Actor: contract.ActorGateway, Details: details}
}
