package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

const (
	stepTimeout = time.Minute
	mostOpen    = 100 // erasures that a process works on
	// refusedScan is how many requests in quarantine one step looks at.
	refusedScan = 200
)

// errLost says that a step was not committed: the lease or the status of the erasure is another
// one by now.
var errLost = errors.New("the erasure is no longer this process's, or was cancelled")

// Run works on erasures until ctx ends, and then gives up its leases.
func (m *Module) Run(ctx context.Context) error {
	failing := false
	for {
		worked, err := m.Round(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "working on erasures failed; will retry", "error", err)
		}
		failing = err != nil
		pause := m.cfg.Look
		if worked && !failing {
			pause = 0
		}
		if !clock.Sleep(ctx, pause) {
			m.release(context.WithoutCancel(ctx))
			return nil
		}
	}
}

const selectOpenSQL = `
SELECT id
FROM   erasures
WHERE  ended_at IS NULL AND (lease_token = $1 OR lease_until IS NULL OR lease_until < $2)
ORDER  BY id
LIMIT  $3`

// Round does the next step of each erasure that no other process works on, and reports whether
// there was any.
func (m *Module) Round(ctx context.Context) (worked bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var open []string
	if err := m.d.DB.Select(bounded, &open, selectOpenSQL, m.token, m.d.Now(), mostOpen); err != nil {
		return false, fmt.Errorf("look for erasures: %w", err)
	}
	if len(open) > 0 && m.d.Settled != nil && !m.d.Settled(bounded) {
		return false, nil // what is stored only later would be missed
	}
	for _, erasureID := range open {
		switch stepErr := m.step(ctx, erasureID); {
		case stepErr == nil:
			worked = true
		case !errors.Is(stepErr, errLost):
			err = errors.Join(err, fmt.Errorf("erasure %s: %w", erasureID, stepErr))
		}
	}
	return worked, err
}

const claimSQL = `
UPDATE erasures
SET    lease_token = $1, lease_until = $2, status = 'running', started_at = CASE WHEN started_at IS NULL THEN $3 ELSE started_at END
WHERE  id = $4 AND ended_at IS NULL AND (lease_token = $1 OR lease_until IS NULL OR lease_until < $3)`

// step does the next piece of an erasure.
func (m *Module) step(ctx context.Context, erasureID string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var e erasure
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := one(tx.Exec(ctx, claimSQL, m.token, tx.Now.Add(m.cfg.Lease), tx.Now, erasureID)); err != nil {
			return err
		}
		return tx.Get(ctx, &e, selectSQL+" WHERE id = $1", erasureID)
	})
	if err != nil {
		return err
	}
	sources, err := m.sourcesOf(ctx, erasureID)
	if err != nil {
		return err
	}
	switch {
	case e.Stage == inQuarantine:
		return m.eraseRefused(ctx, e, sources)
	case e.Kind == byEvents:
		return m.eraseListed(ctx, e)
	}
	return m.eraseMatching(ctx, e, sources)
}

// one turns the count of a conditional update of one row into an error.
func one(n int64, err error) error {
	if err == nil && n != 1 {
		return errLost
	}
	return err
}

const refusedSQL = `
UPDATE erasures
SET    quarantined = quarantined + $1, after_quarantine_id = $2, stage = $3, updated_at = $4, lease_until = $5
WHERE  id = $6 AND lease_token = $7 AND ended_at IS NULL`

// eraseRefused removes requests from quarantine. It comes before the events: a request that is
// released before it is removed is an event by then, which is found later.
func (m *Module) eraseRefused(ctx context.Context, e erasure, sources []string) error {
	after := ""
	if e.AfterQuarantine != nil {
		after = *e.AfterQuarantine
	} else if err := m.d.Events.MarkErasure(ctx, e.mark(sources)); err != nil {
		return err
	}
	found, err := m.refused(ctx, e.Target, sources, after)
	if err != nil {
		return err
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		n, err := m.d.Events.RemoveRefused(actorOf(ctx, e), tx, found.IDs)
		if err != nil {
			return err
		}
		stage := inQuarantine
		if found.End {
			stage = inEvents
		}
		return one(tx.Exec(ctx, refusedSQL, n, found.Last, stage, tx.Now, tx.Now.Add(m.cfg.Lease), e.ID, m.token))
	})
}

func (e erasure) mark(sources []string) contract.ErasureMark {
	return contract.ErasureMark{ErasureID: e.ID, Sources: sources, Text: e.Target.text(), Paths: e.Target.Paths,
		ReceivedFrom: timeOf(e.Target.ReceivedFrom), ReceivedTo: timeOf(e.Target.ReceivedTo), OrderedAt: e.UpTo.Time}
}

func (m *Module) refused(ctx context.Context, t target, sources []string, after string) (contract.ErasureRefused, error) {
	holds, err := t.holds()
	if err != nil {
		return contract.ErasureRefused{}, err
	}
	return m.d.Events.ErasureRefused(ctx, t.scan(sources), t.text(), holds, after, refusedScan)
}

// eraseListed erases the next events of a list.
func (m *Module) eraseListed(ctx context.Context, e erasure) error {
	rest := slices.DeleteFunc(slices.Clone(e.Target.EventIDs), func(eventID string) bool { return eventID <= e.AfterID })
	batch := rest[:min(len(rest), m.cfg.Batch)]
	if len(batch) > 0 {
		known, err := m.d.Events.ErasureEvents(ctx, batch) // retention may have removed some
		if err != nil {
			return err
		}
		if err := m.eraseBatch(ctx, e, idsOf(known)); err != nil {
			return err
		}
		last := contract.ReplayPosition{At: e.AfterAt.Time, EventID: batch[len(batch)-1]}
		if err := m.moved(ctx, e, last, len(batch), 0); err != nil || len(batch) < len(rest) {
			return err
		}
	}
	return m.finish(ctx, e, nil, false)
}

// eraseMatching erases the events that match among the next ones.
func (m *Module) eraseMatching(ctx context.Context, e erasure, sources []string) error {
	page, err := m.page(ctx, e.Target, sources, e.position(), e.UpTo.Time)
	if err != nil {
		return err
	}
	ids, limited := idsOf(page.Events), false
	if e.MostEvents != nil && e.Events+len(ids) >= *e.MostEvents {
		limited = e.Events+len(ids) > *e.MostEvents || !page.End
		ids = ids[:max(*e.MostEvents-e.Events, 0)]
	}
	for batch := range slices.Chunk(ids, m.cfg.Batch) {
		if err := m.eraseBatch(ctx, e, batch); err != nil {
			return err
		}
	}
	if limited {
		return m.finish(ctx, e, sources, true)
	}
	if err := m.moved(ctx, e, page.Last, page.Looked, page.Unreadable); err != nil || !page.End {
		return err
	}
	return m.finish(ctx, e, sources, false)
}

func (m *Module) page(ctx context.Context, t target, sources []string, after contract.ReplayPosition, upTo time.Time) (contract.ErasurePage, error) {
	holds, err := t.holds()
	if err != nil {
		return contract.ErasurePage{}, err
	}
	limit := m.cfg.Scan
	if holds != nil {
		limit = m.cfg.Read
	}
	return m.d.Events.ErasurePage(ctx, t.scan(sources), holds, after, upTo, limit)
}

func idsOf(events []contract.ErasureEvent) []string {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.EventID
	}
	return ids
}

const movedSQL = `
UPDATE erasures
SET    looked = looked + $1, unreadable = unreadable + $2, after_at = $3, after_id = $4, updated_at = $5, lease_until = $6
WHERE  id = $7 AND lease_token = $8 AND ended_at IS NULL`

// moved stores how far the erasure is.
func (m *Module) moved(ctx context.Context, e erasure, to contract.ReplayPosition, looked, unreadable int) error {
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return one(tx.Exec(ctx, movedSQL, looked, unreadable, to.At, to.EventID, tx.Now, tx.Now.Add(m.cfg.Lease), e.ID, m.token))
	})
}

const releaseSQL = `
UPDATE erasures SET lease_token = NULL, lease_until = NULL WHERE lease_token = $1 AND ended_at IS NULL`

// release gives up this process's leases, so that another one need not wait for their end.
func (m *Module) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Lease)
	defer cancel()
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, releaseSQL, m.token)
		return err
	})
	if err != nil {
		m.d.Log.WarnContext(ctx, "releasing the leases of erasures failed; they will expire", "error", err)
	}
}
