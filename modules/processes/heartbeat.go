package processes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// recoverTimeout limits one recovery round.
const recoverTimeout = 30 * time.Second

// skewWarnThreshold is the clock difference to the database above which a warning is
// logged.
const skewWarnThreshold = time.Second

var registering = backoff.Exponential{Min: 100 * time.Millisecond, Max: 2 * time.Second}

// Register writes the first heartbeat, and waits until the database accepts it. Before it
// returns, this process must not claim anything.
func (m *Module) Register(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := m.beat(ctx)
		if err == nil {
			return nil
		}
		wait := registering.Wait(attempt)
		m.d.Log.WarnContext(ctx, "waiting for the database to accept writes", "error", err, "retry_in", wait.String())
		if !clock.Sleep(ctx, wait) {
			return fmt.Errorf("the database accepted no write: %w", err)
		}
	}
}

// register writes the first heartbeat. It also checks whether the database is older than
// the last heartbeat that the cache remembers.
func (m *Module) register(ctx context.Context, self row) error {
	cached := m.cachedLastSeen(ctx)
	var last time.Time
	err := m.db.InTx(ctx, func(tx *database.Tx) (err error) {
		if last, err = lastSeen(ctx, tx); err != nil {
			return err
		}
		if err := prune(ctx, tx); err != nil {
			return err
		}
		self.SeenAt = clock.At(tx.Now)
		return insert(ctx, tx, self)
	})
	if err != nil {
		return err
	}
	m.server = m.d.DB.Server()
	self.Beats = 1
	m.mu.Lock()
	m.self = self
	m.mu.Unlock()
	if cached.After(last) {
		m.reportRewind(ctx, last, cached)
	}
	m.cacheLastSeen(ctx, self.SeenAt.Time)
	return nil
}

// Run writes heartbeats and recovers the work of dead processes until ctx ends. Then it
// records that this process has ended, so that no other waits for it.
func (m *Module) Run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.Every)
	defer tick.Stop()
	failing, cachedAt := false, time.Duration(0)
	var recovering sync.WaitGroup // recovery may be slow and must not delay heartbeats
	recoverySlot := make(chan struct{}, 1)
	for {
		select {
		case <-ctx.Done():
			recovering.Wait()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.Timeout)
			defer cancel()
			if err := m.markStopped(last, m.Process()); err != nil {
				m.d.Log.WarnContext(ctx, "recording the end of this process failed; others will consider it dead", "error", err)
			}
			return nil
		case <-tick.C:
		}
		err := m.beat(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "writing the heartbeat failed", "error", err)
		}
		if failing = err != nil; failing {
			continue
		}
		select {
		case recoverySlot <- struct{}{}:
			recovering.Go(func() {
				defer func() { <-recoverySlot }()
				own, cancel := context.WithTimeout(ctx, recoverTimeout)
				defer cancel()
				m.recover(own)
			})
		default: // the previous round is still running
		}
		if now := clock.Monotonic(); now-cachedAt > lastSeenEvery {
			m.mu.Lock()
			at := m.self.SeenAt.Time
			m.mu.Unlock()
			m.cacheLastSeen(ctx, at)
			cachedAt = now
		}
	}
}

// beat writes one heartbeat and reads those of the other processes.
func (m *Module) beat(ctx context.Context) error {
	m.beatMu.Lock()
	defer m.beatMu.Unlock()
	err := m.writeBeat(ctx)
	if m.d.Beat != nil && ctx.Err() == nil {
		m.d.Beat(err == nil)
	}
	return err
}

// writeBeat requires m.beatMu.
func (m *Module) writeBeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	ahead, err := m.db.SyncClock(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	before := m.self
	m.mu.Unlock()
	self := before
	self.ClockAheadMS = ahead.Milliseconds()
	m.logSkew(ctx, ahead)
	if before.SeenAt.IsZero() {
		return m.register(ctx, self)
	}
	var seen []row
	stillOurs, full := false, m.d.DB.DiskFull()
	err = m.db.InTx(ctx, func(tx *database.Tx) (err error) {
		seen = nil
		if err := tx.Select(ctx, &seen, selectOpenSQL, tx.Now.Add(-silentFor)); err != nil {
			return fmt.Errorf("read the other processes: %w", err)
		}
		self.SeenAt = clock.At(tx.Now)
		stillOurs, err = updateHeartbeat(ctx, tx, self)
		return err
	})
	if err != nil {
		return err
	}
	open, silent := apart(seen)
	for _, r := range open {
		if r.ID == self.ID {
			self.Beats = r.Beats + 1
		}
	}
	m.detectRewind(ctx, before, open)
	if !stillOurs {
		return m.reregister(ctx, before)
	}
	m.mu.Lock()
	m.self, m.alive, m.silent = self, open, silent
	m.mu.Unlock()
	m.recordRewinds(ctx)
	if full {
		return m.probeDisk(ctx, self.ID)
	}
	return nil
}

// probeDisk checks whether a disk that was full has room again. It is separate from the
// heartbeat: a process that cannot store is not dead.
func (m *Module) probeDisk(ctx context.Context, process string) error {
	if err := m.db.InTx(ctx, func(tx *database.Tx) error { return writeFiller(ctx, tx, process) }); err != nil {
		return err
	}
	m.d.DB.ClearDiskFull()
	return nil
}

// apart returns the running processes, and whether a worker was declared dead recently.
func apart(seen []row) (open []row, silent bool) {
	for _, r := range seen {
		silent = silent || r.LostAt != nil && r.Role != RoleServe
		if r.StoppedAt == nil {
			open = append(open, r)
		}
	}
	return open, silent
}

// detectRewind compares the database's record of this process with what it has committed.
func (m *Module) detectRewind(ctx context.Context, before row, open []row) {
	if now := m.d.DB.Server(); now != m.server {
		m.d.Log.WarnContext(ctx, "connected to another database server, or it was restarted", "started", now, "before", m.server)
		m.server = now
	}
	for _, r := range open {
		if r.ID == before.ID && r.Beats < before.Beats {
			m.reportRewind(ctx, r.SeenAt.Time, before.SeenAt.Time)
		}
	}
}

// reregister registers this process under a new id: either others considered it dead and
// reclaimed its jobs, or the database was restored to an earlier state.
func (m *Module) reregister(ctx context.Context, before row) error {
	self := m.newRow()
	self.ClockAheadMS = before.ClockAheadMS
	var last time.Time
	err := m.db.InTx(ctx, func(tx *database.Tx) (err error) {
		if last, err = lastSeen(ctx, tx); err != nil {
			return err
		}
		self.SeenAt = clock.At(tx.Now)
		return insert(ctx, tx, self)
	})
	if err != nil {
		return err
	}
	self.Beats = 1
	m.mu.Lock()
	m.self = self
	m.mu.Unlock()
	if last.Before(before.SeenAt.Time) {
		m.reportRewind(ctx, last, before.SeenAt.Time)
		return nil
	}
	m.d.Log.WarnContext(ctx, "this process was considered dead; others reclaimed its jobs", "process", before.ID, "now", self.ID)
	return nil
}

// logSkew logs when this machine's clock becomes wrong, and when it is right again.
func (m *Module) logSkew(ctx context.Context, ahead time.Duration) {
	wasSkewed, isSkewed := m.skewed, ahead.Abs() > skewWarnThreshold
	m.skewed = isSkewed
	switch {
	case isSkewed && !wasSkewed:
		m.d.Log.WarnContext(ctx, "this machine's clock is wrong; due times use the database's clock", "ahead_ms", ahead.Milliseconds())
	case wasSkewed && !isSkewed:
		m.d.Log.InfoContext(ctx, "this machine's clock agrees with the database's again", "ahead_ms", ahead.Milliseconds())
	}
}
