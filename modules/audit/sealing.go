package audit

import (
	"context"
	"errors"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
)

const (
	leavesPerSeal = 1_000
	sealsPerSweep = 100

	notStarted = -1 // before the first recheck
)

// errSealKeyMissing stops sealing: a seal without a key would break the protection of the
// keyed seals before it.
var errSealKeyMissing = errors.New("the audit trail is sealed with a key and this process has none: set SECRETS_KEY")

// Seal seals the trail in the background until ctx ends. It adds nothing to a request's
// time and takes no lock. An entry is sealed when its id is older than Config.SealAfter.
// Every sealed range is checked after Config.RecheckAfter and again after
// Config.FinalCheckAfter; entries that committed in the meantime get a late seal. Any
// number of processes may run it: the seal's number is its primary key, so one process
// makes each seal, and the others skip a round after another one sealed.
func (m *Module) Seal(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.SealEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := m.sealDue(ctx, m.cfg.SealEvery/2)
		if err != nil && !failing && ctx.Err() == nil {
			m.log.WarnContext(ctx, "sealing the audit trail failed; will retry", "error", err)
		}
		failing = err != nil
	}
}

// sealDue seals all that is due, unless another process did so within pause.
func (m *Module) sealDue(ctx context.Context, pause time.Duration) error {
	newest, err := newestSeal(ctx, m.db)
	if err != nil {
		return err
	}
	if err := m.missSeals(ctx, newest); err != nil {
		return err
	}
	// A seal of the future says that the clock was set back.
	if age := m.now().Sub(newest.SealedAt.Time); newest.Seq > 0 && age >= 0 && age < pause {
		return nil
	}
	if newest.KeyID != "" && m.cfg.sealKey().ID == "" {
		return errSealKeyMissing
	}
	if newest, err = m.sweep(ctx, newest); err != nil {
		return err
	}
	if newest, err = m.recheck(ctx, newest); err != nil {
		return err
	}
	horizon := id.At(m.now().Add(-m.cfg.SealAfter))
	for ctx.Err() == nil {
		after, err := lastSealedID(ctx, m.db, maxID)
		if err != nil {
			return err
		}
		leaves, err := m.cfg.sealKey().leavesAfter(ctx, m.db, after, horizon, leavesPerSeal)
		if err != nil || len(leaves) == 0 {
			return err
		}
		next, ok, err := m.addSeal(ctx, newest, leaves, false)
		if err != nil || !ok || len(leaves) < leavesPerSeal {
			return err
		}
		newest = next
	}
	return nil
}

// addSeal returns false if another process made that seal.
func (m *Module) addSeal(ctx context.Context, newest seal, leaves []leaf, late bool) (seal, bool, error) {
	s, err := m.cfg.sealKey().sealOf(newest, leaves, late, max(m.swept, newest.SweptSeq), clock.At(m.now()))
	if err != nil {
		return newest, false, err
	}
	ok, err := insertSeal(ctx, m.db, s)
	if !ok {
		return newest, false, err
	}
	m.seen = seen{s.Seq, s.Hash}
	return s, true, nil
}

// sweep checks ranges that were sealed Config.FinalCheckAfter ago, and seals the entries
// that were added since. Its position is stored with the next seal. It returns the newest
// seal.
func (m *Module) sweep(ctx context.Context, newest seal) (seal, error) {
	m.swept = max(m.swept, newest.SweptSeq)
	for {
		seals, err := readSeals(ctx, m.db, m.swept, newest.Seq, sealsPerSweep)
		if err != nil {
			return newest, err
		}
		for _, s := range seals {
			if m.now().Sub(s.SealedAt.Time) < m.cfg.FinalCheckAfter {
				return newest, nil
			}
			if newest, err = m.sweepSeal(ctx, s, newest); err != nil {
				return newest, err
			}
			m.swept = s.Seq
		}
		if len(seals) < sealsPerSweep {
			return newest, nil
		}
	}
}

// recheck seals the entries that were added to ranges sealed Config.RecheckAfter ago, so
// that a clock that is behind or a slow transaction leaves entries unsealed no longer than
// that. Ranges sealed before this process started are left to sweep. It returns the newest
// seal.
func (m *Module) recheck(ctx context.Context, newest seal) (seal, error) {
	if m.rechecked == notStarted {
		m.rechecked = newest.Seq
	}
	for m.rechecked = max(m.rechecked, m.swept); ; {
		seals, err := readSeals(ctx, m.db, m.rechecked, newest.Seq, sealsPerSweep)
		if err != nil {
			return newest, err
		}
		for _, s := range seals {
			if m.now().Sub(s.SealedAt.Time) < m.cfg.RecheckAfter {
				return newest, nil
			}
			if newest, err = m.sweepSeal(ctx, s, newest); err != nil {
				return newest, err
			}
			m.rechecked = s.Seq
		}
		if len(seals) < sealsPerSweep {
			return newest, nil
		}
	}
}

func (m *Module) sweepSeal(ctx context.Context, s, newest seal) (seal, error) {
	if s.Late {
		return newest, nil
	}
	after, err := lastSealedID(ctx, m.db, s.LastID)
	if err != nil {
		return newest, err
	}
	for {
		missing, err := m.unsealed(ctx, s, after)
		if err != nil || len(missing) == 0 {
			return newest, err
		}
		leaves, err := m.cfg.sealKey().leavesByID(ctx, m.db, idsOf(missing[:min(len(missing), leavesPerSeal)]))
		if err != nil || len(leaves) == 0 {
			return newest, err
		}
		next, ok, err := m.addSeal(ctx, newest, leaves, true)
		if err != nil {
			return newest, err
		}
		if !ok { // another process made a seal of this number, which may hold other entries
			if newest, err = newestSeal(ctx, m.db); err != nil {
				return newest, err
			}
			continue
		}
		m.log.WarnContext(ctx, "audit entries committed after their range had been sealed", "seal", next.Seq, "entries", entriesIn(leaves))
		newest = next
	}
}

// unsealed returns the units in the seal's range (which begins after an id) that neither the
// seal nor a late seal contains.
func (m *Module) unsealed(ctx context.Context, s seal, after string) ([]unit, error) {
	late, err := lateIDs(ctx, m.db, after, s.LastID)
	if err != nil {
		return nil, err
	}
	return unitsNotIn(ctx, m.db, after, s.LastID, s.ids(), late)
}

// ids maps the ids of the seal's leaves to its number.
func (s seal) ids() map[string]int64 {
	ids := make(map[string]int64, s.Count)
	for _, l := range unpackLeaves(s.Leaves) {
		ids[l.id] = s.Seq
	}
	return ids
}
