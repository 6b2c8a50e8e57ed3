package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"integration-gateway/platform/clock"
)

// The bulk replay of a scenario.
const (
	replayScenario  = "bulk-replay-killed"
	usualReplayRate = 100 // events a second, beside the webhooks
	replayStock     = 12 * time.Second
	replaySettled   = 2 * time.Second // events of the last moments are left out
	replayWithin    = time.Minute     // from the kill to the replay's end, beside what its rate takes
	stockSenders    = 64              // webhooks of a stock that are sent at a time
)

func replayScenarios() []scenario {
	return []scenario{{name: replayScenario, about: "work is killed in the middle of a bulk replay under load and started again",
		duplicates: true, target: ofProcess, inject: replayKilledInTheMiddle}}
}

// bulkReplay is a replay as the API shows it.
type bulkReplay struct {
	ID     string `json:"id"`
	Status string `json:"status"`

	Counted bool `json:"counted"`
	Counts  struct {
		Matched   int `json:"matched"`
		Queued    int `json:"queued"`
		Delivered int `json:"delivered"`
		Failed    int `json:"failed"`
	} `json:"counts"`
}

// replayKilledInTheMiddle replays what was sent for a while, kills work in the middle, and waits
// for the replay's end. Each event of the job must be delivered once more, at the rate.
func replayKilledInTheMiddle(ctx context.Context, r *run) error {
	if err := r.stock(ctx); err != nil {
		return err
	}
	began := clock.System()
	upTo := began.Add(-replaySettled)
	var replay bulkReplay
	order := fmt.Sprintf(`{"filter":{"source":"acme","eventType":"order.created","receivedTo":%q},"rate":%d,"reason":"the receiver lost them"}`,
		upTo.Format(time.RFC3339Nano), r.options.replayRate)
	if err := r.ask(ctx, http.MethodPost, "/replays", order, &replay); err != nil {
		return err
	}
	path := "/replays/" + replay.ID
	inTheMiddle := func() bool { return replay.Counted && replay.Counts.Queued >= replay.Counts.Matched/2 }
	if err := r.untilReplay(ctx, path, &replay, inTheMiddle); err != nil {
		return err
	}
	r.faultBegan()
	killedAt := clock.System()
	if err := r.working[0].restart(ctx, syscall.SIGKILL); err != nil {
		return err
	}
	r.faultEnded()
	within := replayWithin + time.Duration(replay.Counts.Matched)*time.Second/time.Duration(r.options.replayRate)
	bounded, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the replay had not ended after %v", within))
	defer cancel()
	if err := r.untilReplay(bounded, path, &replay, func() bool { return replay.Status == "completed" }); err != nil {
		return fmt.Errorf("%w: %+v", err, replay)
	}
	return r.checkReplay(ctx, replay, began, upTo, killedAt)
}

// stock sends what is to be replayed: the webhooks of a few seconds, or as many as the
// options say, each of which is delivered before the replay is ordered.
func (r *run) stock(ctx context.Context) error {
	if r.options.replay == 0 {
		return sustain(ctx, replayStock)
	}
	began := clock.System()
	if err := r.sender.sendMany(ctx, r.options.replay, stockSenders); err != nil {
		return err
	}
	r.say("    sent %d webhooks in %v", r.options.replay, clock.System().Sub(began).Round(time.Second))
	if err := until(ctx, time.Second, func() bool { return len(r.ledger.tally(time.Time{}, time.Time{}).lost) <= rate }); err != nil {
		return err
	}
	return sustain(ctx, 2*replaySettled)
}

func (r *run) untilReplay(ctx context.Context, path string, replay *bulkReplay, done func() bool) error {
	var problem error
	err := until(ctx, 100*time.Millisecond, func() bool {
		before := replay.Counts
		problem = r.ask(ctx, http.MethodGet, path, "", replay)
		now := replay.Counts
		if now.Delivered < before.Delivered || now.Queued < before.Queued || now.Delivered+now.Failed > now.Queued || replay.Counted && now.Queued > now.Matched {
			r.fault("the replay's progress went from %+v to %+v", before, now)
		}
		return problem == nil && done()
	})
	if err != nil && problem != nil {
		return fmt.Errorf("%w: %w", err, problem)
	}
	return err
}

// checkReplay compares the job with what was accepted before and what was delivered since.
func (r *run) checkReplay(ctx context.Context, replay bulkReplay, began, upTo, killedAt time.Time) error {
	var job []string
	var asked []time.Time
	for cursor := ""; ; {
		var list []struct {
			EventID   string    `json:"eventId"`
			CreatedAt time.Time `json:"createdAt"`
		}
		next, err := r.askPage(ctx, "/replays/"+replay.ID+"/events?pageSize=100"+cursor, &list)
		if err != nil {
			return err
		}
		for _, item := range list {
			job, asked = append(job, item.EventID), append(asked, item.CreatedAt)
		}
		if next == "" {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
	slices.Sort(job)
	n := len(job)
	if len(slices.Compact(slices.Clone(job))) != n {
		r.fault("the job has events more than once")
	}
	if c := replay.Counts; c.Matched != n || c.Queued != n || c.Delivered != n || c.Failed != 0 {
		r.fault("the job has %d events, and its counts are %+v", n, c)
	}
	found := r.ledger.takeReplayed(job, began, upTo, killedAt)
	if len(found.missing) > 0 {
		r.fault("%d events were accepted before and are not in the job: %s", len(found.missing), firstFew(found.missing))
	}
	if len(found.undelivered) > 0 {
		r.fault("%d events of the job were not delivered again: %s", len(found.undelivered), firstFew(found.undelivered))
	}
	if len(found.repeated) > 0 {
		r.fault("%d events of the job were delivered more than once, although not in flight at the kill: %s", len(found.repeated), firstFew(found.repeated))
	}
	held, want := paceOf(found.times, killedAt), float64(r.options.replayRate)
	r.say("    replayed %d events at %.1f a second of %.0f, asked for at %.1f, %d of them twice", n, held, want, paceOf(asked, killedAt), found.twice)
	if math.Abs(held-want) > want/10 {
		r.fault("the replay sent %.1f events a second; its rate is %.0f", held, want)
	}
	return nil
}

// paceOf returns the rate of deliveries, without the pause after a kill.
func paceOf(times []time.Time, killedAt time.Time) float64 {
	slices.SortFunc(times, time.Time.Compare)
	i, _ := slices.BinarySearchFunc(times, killedAt, time.Time.Compare)
	before, after := times[:i], times[i:]
	// What was in flight comes back first, then nothing until the lease has ended.
	resumed := 0
	for j := 1; j < len(after); j++ {
		if after[j].Sub(after[j-1]) > after[max(resumed, 1)].Sub(after[max(resumed, 1)-1]) {
			resumed = j
		}
	}
	after = after[resumed:]
	var events int
	var lasted time.Duration
	for _, part := range [][]time.Time{before, after} {
		if len(part) > 1 {
			events, lasted = events+len(part)-1, lasted+part[len(part)-1].Sub(part[0])
		}
	}
	return float64(events) / lasted.Seconds()
}

// replayedEvents is what the ledger says of a bulk replay.
type replayedEvents struct {
	missing, undelivered, repeated []string
	twice                          int
	times                          []time.Time // of each first delivery
}

// takeReplayed takes the deliveries of a job's events since it began out of the ledger, so that
// they do not count as duplicates of the first ones.
func (l *ledger) takeReplayed(job []string, began, upTo, killedAt time.Time) (found replayedEvents) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for external, e := range l.events {
		if _, is := slices.BinarySearch(job, e.eventID); !is {
			if !e.accepted.IsZero() && e.accepted.Before(upTo) {
				found.missing = append(found.missing, external)
			}
			continue
		}
		var again entry
		var first []delivery
		for _, d := range e.delivered {
			if d.began.After(began) {
				again.delivered = append(again.delivered, d)
			} else {
				first = append(first, d)
			}
		}
		late := len(first) == 0 && len(again.delivered) > 0 // the first delivery began after the order
		if late {
			first, again.delivered = again.delivered[:1], again.delivered[1:]
		}
		e.delivered = first
		d := again.firstDelivery()
		if d == nil && late {
			continue // the replay took the place of the waiting delivery
		}
		if d == nil {
			found.undelivered = append(found.undelivered, external)
			continue
		}
		found.times = append(found.times, d.began)
		if len(again.delivered) > 1 {
			found.twice++
			if !again.duplicateAllowed(killedAt.Add(-inFlight), killedAt.Add(inFlight)) {
				found.repeated = append(found.repeated, external)
			}
		}
	}
	return found
}

// ask sends a request to the API and reads the answer's data into dest.
func (r *run) ask(ctx context.Context, method, path, body string, dest any) error {
	_, err := r.request(ctx, method, path, body, dest)
	return err
}

// askPage reads a page of a list, and returns the cursor of the next one, or "".
func (r *run) askPage(ctx context.Context, path string, dest any) (next string, err error) {
	return r.request(ctx, http.MethodGet, path, "", dest)
}

func (r *run) request(ctx context.Context, method, path, body string, dest any) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.api().url+"/api/v1"+path, bytes.NewBufferString(body))
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("X-Internal-Api-Key", managementKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Data  json.RawMessage `json:"data"`
		Error json.RawMessage `json:"error"`
		Meta  *struct {
			NextCursor *string `json:"nextCursor"`
		} `json:"meta"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s %s: status %d: %s (%w)", method, path, res.StatusCode, answer.Error, err)
	}
	if err := json.Unmarshal(answer.Data, dest); err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	if answer.Meta != nil && answer.Meta.NextCursor != nil {
		next = *answer.Meta.NextCursor
	}
	return next, nil
}
