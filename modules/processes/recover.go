package processes

import (
	"context"
	"slices"

	"integration-gateway/platform/clock"
)

// recover reclaims the jobs of dead processes.
func (m *Module) recover(ctx context.Context) {
	m.mu.Lock()
	self, open := m.self.ID, m.alive
	dead := m.detector.observe(clock.Monotonic(), 2*m.cfg.Every+m.cfg.Timeout/2, open)
	m.mu.Unlock()
	for _, r := range open {
		gone := slices.Contains(dead, r.ID) || r.LostAt != nil // or another process detected it and has not finished
		if !gone || r.ID == self {
			continue
		}
		if err := m.takeOver(ctx, r); err != nil && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "reclaiming the jobs of a dead process failed; will retry", "process", r.ID, "error", err)
		}
	}
}

func (m *Module) takeOver(ctx context.Context, r row) error {
	if r.LostAt == nil {
		lost, err := m.markLost(ctx, r)
		if err != nil || !lost {
			return err
		}
		m.d.Log.WarnContext(ctx, "a process stopped sending heartbeats; reclaiming its jobs",
			"process", r.ID, "role", r.Role, "host", r.Host, "last_seen", r.SeenAt.String())
	}
	if err := m.d.Reclaimer.Reclaim(ctx, r.ID); err != nil {
		return err
	}
	return m.markStopped(ctx, r.ID)
}
