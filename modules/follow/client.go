package follow

import (
	"context"

	"integration-gateway/platform/contract"
)

// client is one stream's part that the poller knows. Module.mu guards behind.
type client struct {
	want     filter
	messages chan *message // closed when behind
	behind   bool

	// Of a client that takes a sample: the most messages a poll, how many of the present poll's are
	// left, and whether it was told that there were more. 0 is no limit.
	most, left int
	told       bool
}

// offer puts the messages that the client gets into its buffer, in order. When it is full
// the client gets no more: its stream ends, and it may resume.
func (c *client) offer(list []*message) {
	for _, m := range list {
		m = c.share(m)
		if c.behind || m == nil {
			continue
		}
		select {
		case c.messages <- m:
		default:
			c.behind = true
			close(c.messages)
		}
	}
}

// share returns what the client gets for a message: the message, nothing, or, once a poll and in place
// of what exceeds its sample, that there was more.
func (c *client) share(m *message) *message {
	more := m.kind == kindMore
	switch {
	case m.kind == "":
		return m
	case more && c.most == 0 || !more && !c.want.matches(m):
		return nil
	case !more && (c.most == 0 || c.left > 0):
		c.left--
		return m
	case c.told:
		return nil
	}
	c.told = true
	return moreMessage
}

// replayed goes through what happened since a position, for a client that resumes.
type replayed struct {
	m    *Module
	at   string          // rows up to it were shown, and none will be added
	sent map[string]bool // messages after it
}

// catchUp passes the messages after r.at to send, until there are no further rows. r.at is
// then where the client resumes. The next call reads the last Config.Settle again, for rows
// that committed meanwhile.
func (r *replayed) catchUp(ctx context.Context, want filter, send func(*message) error) error {
	for after := r.at; ; {
		floor := positionAt(r.m.d.Now(), r.m.cfg.Settle)
		rows, list, err := r.page(ctx, after)
		if err != nil {
			return err
		}
		shown := after // rows up to it
		for i, m := range list {
			if i > 0 && list[i-1].row != m.row {
				shown = list[i-1].row
			}
			r.at = max(r.at, min(shown, floor))
			if r.sent[m.id] || !want.matches(m) {
				continue
			}
			r.sent[m.id] = true
			if err := send(m); err != nil {
				return err
			}
		}
		if len(rows) > 0 {
			after = rows[len(rows)-1].ID
		}
		r.at = max(r.at, min(after, floor))
		for sent := range r.sent {
			if sent < r.at { // it is not read again
				delete(r.sent, sent)
			}
		}
		if len(rows) < rowsPerRead {
			return nil
		}
	}
}

// page reads the next rows and their messages, in the rows' order.
func (r *replayed) page(ctx context.Context, after string) ([]contract.TrailRow, []*message, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	rows, err := r.m.d.Trail.RowsAfter(ctx, after, rowsPerRead)
	if err != nil {
		return nil, nil, err
	}
	list, err := r.m.messages(ctx, rows)
	return rows, list, err
}
