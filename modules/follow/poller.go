package follow

import (
	"context"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

const (
	pollTimeout = 10 * time.Second
	idsPerRead  = 5_000
	rowsPerRead = 32              // a row may be a group of 256 entries
	recent      = 3 * time.Second // how far most reads look back
	sweepEvery  = 10              // reads; a sweep looks back Config.Settle
)

// poller reads the trail for all clients of the process. It runs while there are clients.
type poller struct {
	m     *Module
	stop  context.CancelFunc
	ready chan struct{} // closed once it knows which rows were there before it

	// Of its goroutine alone.
	seen  map[string]bool // rows that the next reads may return again
	last  time.Time       // when a read last succeeded
	swept time.Time       // when a sweep last succeeded
	reads int
}

// subscribe lets a client follow, and starts the poller for the first one. It returns when
// everything that commits from now on will reach the client.
func (m *Module) subscribe(ctx context.Context, c *client) error {
	m.mu.Lock()
	if m.poller == nil {
		life, stop := context.WithCancel(context.Background()) // it outlives this request, and sees all sources
		m.poller = &poller{m: m, stop: stop, ready: make(chan struct{}), seen: map[string]bool{}}
		go m.poller.run(life)
	}
	ready := m.poller.ready
	m.clients[c] = true
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fault.Unavailable.Wrap(ctx.Err(), "stream_not_ready", "The database does not answer.").After(time.Second)
	}
}

// unsubscribe stops the poller with the last client.
func (m *Module) unsubscribe(c *client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.clients, c)
	if len(m.clients) == 0 && m.poller != nil {
		m.poller.stop()
		m.poller = nil
	}
}

// publish hands messages to the clients that want them. It never waits for a client.
func (p *poller) publish(list []*message) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.poller != p { // it was stopped meanwhile
		return
	}
	for c := range p.m.clients {
		c.offer(list)
	}
}

// begin renews what clients that take a sample get of a poll.
func (p *poller) begin() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for c := range p.m.clients {
		c.left, c.told = c.most, false
	}
}

// sample is how many messages of this poll all clients together need to be shown; -1 for all.
func (p *poller) sample() (most int) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for c := range p.m.clients {
		if c.most == 0 {
			return -1
		}
		most = max(most, c.left)
	}
	return most
}

func (p *poller) run(ctx context.Context) {
	tick := time.NewTicker(p.m.cfg.Every)
	defer tick.Stop()
	failing := false
	for {
		err := p.poll(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			p.m.d.Log.WarnContext(ctx, "reading what happened failed; streams wait until it succeeds", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// poll shows the rows that it has not seen. Its first sweep shows none. After a sweep,
// clients may resume Settle before it: everything with a lower id had committed, and was
// seen.
func (p *poller) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	now := p.m.d.Now()
	first := p.swept.IsZero()
	sweep := first || p.reads%sweepEvery == 0
	p.reads++
	p.begin()
	from := p.last.Add(-recent)
	if first {
		from = now.Add(-p.m.cfg.Settle)
	} else if sweep {
		from = p.swept.Add(-p.m.cfg.Settle)
	}
	if err := p.read(ctx, id.Floor(from), first); err != nil {
		return err
	}
	p.last = now
	if !sweep {
		return nil
	}
	p.swept = now
	position := positionAt(now, p.m.cfg.Settle)
	for k := range p.seen {
		if k[1:] <= position {
			delete(p.seen, k)
		}
	}
	p.publish([]*message{{position: position}})
	if first {
		close(p.ready)
	}
	return nil
}

// read reads the rows after an id and shows those that are new.
func (p *poller) read(ctx context.Context, after string, silent bool) error {
	for {
		rows, err := p.m.d.Trail.RowsAfter(ctx, after, idsPerRead)
		if err != nil {
			return err
		}
		var fresh []contract.TrailRow
		for _, r := range rows {
			switch {
			case silent:
				p.seen[key(r)] = true
			case !p.seen[key(r)]:
				fresh = append(fresh, r)
			}
		}
		if err := p.show(ctx, fresh); err != nil || len(rows) < idsPerRead {
			return err
		}
		after = rows[len(rows)-1].ID
	}
}

// show shows rows, oldest first. While every client takes a sample it reads the newest rows alone:
// what it costs does not grow with what happens.
func (p *poller) show(ctx context.Context, fresh []contract.TrailRow) error {
	if most := p.sample(); most >= 0 && len(fresh) > most {
		for _, r := range fresh[:len(fresh)-most] {
			p.seen[key(r)] = true
		}
		fresh = fresh[len(fresh)-most:]
		p.publish([]*message{moreMessage})
	}
	for len(fresh) > 0 {
		part := fresh[:min(len(fresh), rowsPerRead)]
		fresh = fresh[len(part):]
		list, err := p.m.messages(ctx, part)
		if err != nil {
			return err
		}
		for _, r := range part {
			p.seen[key(r)] = true
		}
		p.publish(list)
	}
	return nil
}

// key distinguishes an entry from a group of the same id.
func key(r contract.TrailRow) string {
	if r.Group {
		return "g" + r.ID
	}
	return "e" + r.ID
}

// positionAt is where a client resumes that has seen everything of now.
func positionAt(now time.Time, settle time.Duration) string { return id.Floor(now.Add(-settle)) }
