package audit

import (
	"context"
	"errors"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
)

const (
	entriesPerSeal = 1_000
	sealsPerSweep  = 100
)

// errKeyGone: a seal without a key would end what the key promises.
var errKeyGone = errors.New("the audit trail is sealed with a key, and this process has none: set SECRETS_KEY")

// Seal seals the trail behind its writers until ctx ends: it takes nothing of a request's
// time, and no lock. An entry is sealed once its id is older than Config.Settle, and every
// seal is looked at once more after Config.Late, for entries that committed so late; they
// get a seal of their own. Any number of processes may run it: the number of a seal is its
// key, so that one of them makes it, and the others leave the work to who has just done some.
func (m *Module) Seal(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.SealEvery)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := m.sealDue(ctx, m.cfg.SealEvery/2)
		if err != nil && !away && ctx.Err() == nil {
			m.log.WarnContext(ctx, "the audit trail is sealed later", "error", err)
		}
		away = err != nil
	}
}

// sealDue seals all that is due, unless another process has done so within pause.
func (m *Module) sealDue(ctx context.Context, pause time.Duration) error {
	newest, err := newestSeal(ctx, m.db)
	if err != nil || newest.Seq > 0 && m.now().Sub(newest.SealedAt.Time) < pause {
		return err
	}
	if newest.KeyID != "" && m.cfg.sealKey().ID == "" {
		return errKeyGone
	}
	if newest, err = m.sweep(ctx, newest); err != nil {
		return err
	}
	horizon := id.At(m.now().Add(-m.cfg.Settle))
	for ctx.Err() == nil {
		after, err := frontier(ctx, m.db, afterAll)
		if err != nil {
			return err
		}
		entries, err := entriesAfter(ctx, m.db, after, horizon, entriesPerSeal)
		if err != nil || len(entries) == 0 {
			return err
		}
		next, ok, err := m.addSeal(ctx, newest, entries, false)
		if err != nil || !ok || len(entries) < entriesPerSeal {
			return err
		}
		newest = next
	}
	return nil
}

// addSeal answers false when another process made that seal.
func (m *Module) addSeal(ctx context.Context, newest seal, entries []entry, late bool) (seal, bool, error) {
	s, err := m.cfg.sealKey().sealOf(newest, entries, late, max(m.swept, newest.SweptSeq), clock.At(m.now()))
	if err != nil {
		return newest, false, err
	}
	ok, err := insertSeal(ctx, m.db, s)
	if !ok {
		return newest, false, err
	}
	return s, true, nil
}

// sweep looks again at what was sealed Config.Late ago, and seals what has come since
// among it. How far it came is written with the next seal. It gives the newest seal.
func (m *Module) sweep(ctx context.Context, newest seal) (seal, error) {
	m.swept = max(m.swept, newest.SweptSeq)
	for {
		seals, err := readSeals(ctx, m.db, m.swept, newest.Seq, sealsPerSweep)
		if err != nil {
			return newest, err
		}
		for _, s := range seals {
			if m.now().Sub(s.SealedAt.Time) < m.cfg.Late {
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

func (m *Module) sweepSeal(ctx context.Context, s, newest seal) (seal, error) {
	if s.Late {
		return newest, nil
	}
	after, err := frontier(ctx, m.db, s.LastID)
	if err != nil {
		return newest, err
	}
	missing, err := m.unsealed(ctx, s, after)
	if err != nil || len(missing) == 0 {
		return newest, err
	}
	for len(missing) > 0 {
		n := min(len(missing), entriesPerSeal)
		entries, err := entriesByID(ctx, m.db, missing[:n])
		if err != nil || len(entries) == 0 {
			return newest, err
		}
		next, ok, err := m.addSeal(ctx, newest, entries, true)
		switch {
		case err != nil:
			return newest, err
		case !ok: // another process sweeps
			return newestSeal(ctx, m.db)
		}
		m.log.WarnContext(ctx, "audit entries came after their place had been sealed", "seal", next.Seq, "entries", next.Count)
		newest, missing = next, missing[n:]
	}
	return newest, nil
}

// unsealed are the ids of entries in a seal's range, which begins after an id, that
// neither it nor a late seal holds.
func (m *Module) unsealed(ctx context.Context, s seal, after string) ([]string, error) {
	late, err := lateIDs(ctx, m.db, after, s.LastID)
	if err != nil {
		return nil, err
	}
	return idsNotIn(ctx, m.db, after, s.LastID, s.ids(), late)
}

// ids are the entries that a seal holds, with its number.
func (s seal) ids() map[string]int64 {
	ids := make(map[string]int64, s.Count)
	for _, l := range unpackLeaves(s.Leaves) {
		ids[l.id] = s.Seq
	}
	return ids
}
