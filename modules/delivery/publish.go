package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/database"
	"integration-gateway/platform/failpoint"
)

const (
	idsPerMessage  = 32   // jobs per message
	publishAtOnce  = 512  // jobs per round of publisher confirms
	announceBuffer = 8192 // jobs waiting to be published; the relay publishes the rest
	markEvery      = 800 * time.Millisecond
	publishTimeout = 10 * time.Second
)

// message is the body of a broker message.
type message struct {
	Version int   `json:"v"`
	Jobs    []ref `json:"jobs"`
}

// announcement is a job to be published. wakeAt is the value in its row; if the row has
// another value by now, the job was queued again and this publishing is obsolete.
type announcement struct {
	ref    ref
	delay  time.Duration
	wakeAt time.Time
}

// publisher publishes jobs after their commit, in the background, and lazily marks them as
// published: a job that is claimed meanwhile needs no mark.
type publisher struct {
	m     *Module
	queue chan announcement

	failing bool // logged once per outage; only run touches it

	mu       sync.Mutex
	unmarked []published
}

// published is a job whose message is confirmed, and since when.
type published struct {
	announcement
	at time.Time
}

func newPublisher(m *Module) *publisher {
	return &publisher{m: m, queue: make(chan announcement, announceBuffer)}
}

// announce queues jobs for publishing. It never blocks: it leaves jobs that do not fit, or are
// due too late for the broker, to the relay.
func (p *publisher) announce(list []announcement) {
	for _, a := range list {
		if !direct(a.ref, a.delay) {
			continue
		}
		select {
		case p.queue <- a:
		default:
			return
		}
	}
}

// run publishes until ctx ends, and then the rest of the queue.
func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case first := <-p.queue:
			p.publish(ctx, p.gather(first))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
			defer cancel()
			for len(p.queue) > 0 && last.Err() == nil {
				p.publish(last, p.gather(<-p.queue))
			}
			p.mark(last, 0)
			return
		}
	}
}

func (p *publisher) gather(first announcement) []announcement {
	list := []announcement{first}
	for len(list) < publishAtOnce {
		select {
		case next := <-p.queue:
			list = append(list, next)
		default:
			return list
		}
	}
	return list
}

// publish sends list and remembers which jobs to mark. Jobs that fail stay unpublished in the
// database, and the relay publishes them.
func (p *publisher) publish(ctx context.Context, list []announcement) {
	at := p.m.now()
	done, err := p.send(ctx, list)
	switch {
	case err != nil && !p.failing:
		p.m.log.WarnContext(ctx, "publishing failed; the relay will retry", "error", err)
	case err == nil && p.failing:
		p.m.log.InfoContext(ctx, "publishing works again")
	}
	p.failing = err != nil
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range done {
		p.unmarked = append(p.unmarked, published{a, at})
	}
}

// send publishes list and returns the part whose messages are confirmed, with the first error
// of the others.
func (p *publisher) send(ctx context.Context, list []announcement) (done []announcement, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	messages, groups := compose(list)
	failpoint.Hit(failpoint.BeforePublish)
	defer failpoint.Hit(failpoint.AfterPublish)
	began := p.m.now()
	spans := p.m.publishing(messages, groups, began)
	problems := p.m.broker.Publish(ctx, messages)
	p.m.metrics.Confirmed(p.m.now.Since(began))
	p.m.endPublishing(spans, problems)
	for i, problem := range problems {
		if problem == nil {
			done = append(done, groups[i]...)
		} else if err == nil {
			err = problem
		}
	}
	return done, err
}

// compose builds messages. Jobs of the same queue that are due now share one.
func compose(list []announcement) ([]broker.Message, [][]announcement) {
	var messages []broker.Message
	var groups [][]announcement
	open := map[broker.Queue]int{}
	for _, a := range list {
		queue := broker.Process
		if a.ref.Destination == "" {
			queue = broker.Replay
		}
		at, ok := open[queue]
		if a.delay > 0 || !ok || len(groups[at]) == idsPerMessage {
			at = len(groups)
			groups = append(groups, nil)
			messages = append(messages, broker.Message{Queue: queue, Delay: a.delay})
			if a.delay == 0 {
				open[queue] = at
			}
		}
		groups[at] = append(groups[at], a)
	}
	for i, group := range groups {
		body := message{Version: 1}
		for _, a := range group {
			body.Jobs = append(body.Jobs, a.ref)
		}
		messages[i].Body, _ = json.Marshal(body) // strings always marshal
	}
	return messages, groups
}

// parse decodes a message's body.
func parse(body []byte) ([]ref, error) {
	var msg message
	if err := json.Unmarshal(body, &msg); err != nil {
		return nil, fmt.Errorf("not a message of the gateway: %w", err)
	}
	if msg.Version != 1 {
		return nil, fmt.Errorf("unsupported message version %d; this program reads version 1", msg.Version)
	}
	if len(msg.Jobs) == 0 {
		return nil, fmt.Errorf("message without jobs")
	}
	for _, r := range msg.Jobs {
		if !r.valid() {
			return nil, fmt.Errorf("message with a job id that is not a UUID")
		}
	}
	return msg.Jobs, nil
}

func (p *publisher) takeUnmarked(upTo time.Time) []published {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, _ := slices.BinarySearchFunc(p.unmarked, upTo, func(m published, upTo time.Time) int {
		if m.at.After(upTo) {
			return 1
		}
		return -1
	})
	list := p.unmarked[:n:n]
	p.unmarked = p.unmarked[n:]
	return list
}

var markPublishedSQL = `
UPDATE processing_jobs SET published_at = v.at, wake_at = NULL
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.isSQL() + ` AND wake_at = v.wake`

// mark records as published the jobs that were published so long ago and are still unclaimed.
func (p *publisher) mark(ctx context.Context, ago time.Duration) {
	list := p.takeUnmarked(p.m.now().Add(-ago))
	slices.SortFunc(list, func(a, b published) int { return a.ref.compare(b.ref) })
	for _, part := range chunks(list, publishAtOnce) {
		rows := database.NewRows("event_id uuid", "id uuid", "at timestamptz", "wake timestamptz").Expect(len(part))
		for _, m := range part {
			rows.Add(m.ref.EventID, m.ref.JobID, m.at, m.wakeAt)
		}
		err := p.m.db.InTx(ctx, func(tx *database.Tx) error {
			_, err := tx.ExecRows(ctx, rows, markPublishedSQL)
			return err
		})
		if err != nil {
			p.m.log.WarnContext(ctx, "marking jobs as published failed; they may be published twice", "jobs", len(part), "error", err)
		}
	}
}
