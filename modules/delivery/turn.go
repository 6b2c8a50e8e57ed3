package delivery

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/id"
)

// begin claims a turn's jobs and starts them. While the database is away it waits,
// longer each time, and the jobs wait for another turn; it gives the pause it made.
func (w *worker) begin(ctx context.Context, turn []arrival, pause time.Duration) time.Duration {
	token := id.New()
	err := w.forgetUnsure(ctx)
	if err == nil {
		err = w.start(ctx, token, turn)
	}
	if err == nil {
		return 0
	}
	for _, a := range turn {
		w.unsure = append(w.unsure, release{claimed: claimed{job: a.job(), token: token}})
	}
	pause = min(max(pause*2, 100*time.Millisecond), 5*time.Second)
	w.m.log.WarnContext(ctx, "claiming jobs failed; trying again", "jobs", len(turn), "retry_in", pause, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	for _, a := range turn {
		w.line.done(a.Destination, w.m.now())
		w.wait(a)
	}
	return pause
}

// forgetUnsure gives back what claims may have taken whose answer was lost, so that it
// need not wait for its lease to run out.
func (w *worker) forgetUnsure(ctx context.Context) error {
	if len(w.unsure) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	if err := w.m.giveBack(bounded, w.unsure); err != nil {
		return fmt.Errorf("give back what may be claimed: %w", err)
	}
	w.unsure = nil
	return nil
}

// start claims a turn's jobs, prepares them together and sets each off. Those that
// cannot be claimed are settled. An error means that none was started.
func (w *worker) start(ctx context.Context, token string, turn []arrival) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	byJob := make(map[string]arrival, len(turn))
	refs := make([]ref, 0, len(turn))
	for _, a := range turn {
		if _, twice := byJob[a.JobID]; twice {
			w.line.done(a.Destination, w.m.now())
			a.message.done()
			continue
		}
		byJob[a.JobID] = a
		refs = append(refs, a.ref)
	}
	jobs, err := w.m.claim(bounded, token, refs)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	failpoint.Hit(failpoint.AfterClaim)
	for _, c := range jobs {
		w.m.watermark.raise(byJob[c.ID].message.PublishedAt, c.ScheduledAt.Time)
	}
	w.setOff(bounded, jobs, byJob)
	for _, c := range jobs {
		delete(byJob, c.ID)
	}
	w.settle(bounded, byJob)
	return nil
}

// settle deals with jobs that could not be claimed: most are done, or somebody
// else's. What is not due is published again for its time.
func (w *worker) settle(ctx context.Context, rest map[string]arrival) {
	if len(rest) == 0 {
		return
	}
	refs := make([]ref, 0, len(rest))
	for _, a := range rest {
		refs = append(refs, a.ref)
		w.line.done(a.Destination, w.m.now())
	}
	list, err := w.m.standings(ctx, refs)
	if err != nil {
		w.m.log.WarnContext(ctx, "looking up jobs failed; their messages go back", "jobs", len(rest), "error", err)
		for _, a := range rest {
			a.message.lose()
		}
		return
	}
	var soon []early
	for _, s := range list {
		a := rest[s.ID]
		if s.Status != queued || s.Parked {
			continue
		}
		delete(rest, s.ID)
		if by := s.ScheduledAt.Sub(w.m.now()); by > 0 {
			soon = append(soon, early{a, by})
			continue
		}
		w.wait(a) // queued again since the claim
	}
	if err := w.m.publishLater(ctx, soon); err != nil {
		for _, e := range soon {
			e.message.lose()
		}
		soon = nil
	}
	for _, e := range soon {
		e.message.done()
	}
	for _, a := range rest {
		a.message.done()
	}
}

// putOff moves jobs of slow destinations to a later time, unclaimed.
func (w *worker) putOff(list []late) {
	ctx, cancel := context.WithTimeout(w.life, claimTimeout)
	defer cancel()
	for _, part := range chunks(list, claimAtOnce) {
		if err := w.m.postpone(ctx, part); err != nil {
			w.m.log.WarnContext(ctx, "putting jobs off failed; they keep waiting", "jobs", len(part), "error", err)
			for _, a := range part {
				w.wait(a.arrival)
			}
			continue
		}
		for _, a := range part {
			a.message.done()
		}
	}
}
