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
	rowsPerWrite = 500 // bounds one transaction of refusals
	// settle is how long after its end a minute counts as over: a refusal that read
	// the clock just before the end may be added just after it.
	settle = time.Second
)

// Refused counts a request that was turned away. It never blocks and never fails:
// refusals reach the database in sum, by action, entity type, source, reason and
// minute, so that a flood of them fills no table.
func (m *Module) Refused(r contract.Refusal) { m.refusals.add(r, m.now()) }

// Run writes the refusals until ctx ends, and then what is left, within the grace
// that Config gives. The first of a key in a minute is written at the next flush
// with count 1, the rest in sum when the minute is over or Run ends. While the
// database is away the sums are kept and tried again. Its error says that the last
// write failed and how many refusals were lost with it. A flush whose answer is
// lost is repeated, so a sum may stand twice, but never less than once.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.FlushEvery)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return m.lastFlush(ctx)
		case <-tick.C:
		}
		err := m.flush(ctx, false)
		if err != nil && !away {
			m.log.WarnContext(ctx, "refused requests are kept in memory until they can be audited", "error", err)
		}
		away = err != nil
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

// flush writes all that is due. It outlives ctx's end, within the grace: a write
// cut off in the middle would be repeated.
func (m *Module) flush(ctx context.Context, last bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.ShutdownGrace)
	defer cancel()
	for {
		now := m.now().Add(-settle)
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
