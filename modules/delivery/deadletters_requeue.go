package delivery

import (
	"context"
	"encoding/json"
	"fmt"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// Replayer accepts replay requests. Delivery uses it to requeue a dead letter, with a new
// attempt budget.
type Replayer interface {
	// Request stores a replay request in tx and returns its id. It returns fault.NotFound if
	// the event does not exist, and fault.Invalid if its integration has no such destination.
	Request(ctx context.Context, tx *database.Tx, a contract.ReplayRequest) (requestID string, err error)
}

// Requester says who requested a requeue, and why.
type Requester struct {
	Name   string // as given in the request, 2 to 120 characters
	Reason string // 5 to 500 characters
	Actor  string // the credential that they used
}

// RequeueDeadLetter requeues a dead letter: a delivery becomes a replay to its destination, a
// message is published to the process queue. It returns fault.Conflict if the dead letter is
// not open.
func (m *Module) RequeueDeadLetter(ctx context.Context, deadLetterID string, by Requester) (DeadLetterWithBody, error) {
	d, err := m.DeadLetter(ctx, deadLetterID)
	if err != nil {
		return d, err
	}
	if err := m.requeueOpen(ctx, d, by); err != nil {
		return d, err
	}
	return m.DeadLetter(ctx, deadLetterID)
}

func (m *Module) requeueOpen(ctx context.Context, d DeadLetterWithBody, by Requester) error {
	switch {
	case d.Status != deadOpen:
		return notOpen(d.DeadLetter)
	case d.Kind == deadUnreadable:
		return m.requeueMessage(ctx, d, by)
	}
	return m.requeueDelivery(ctx, d.DeadLetter, by)
}

const reasonNotOpen = "dead_letter_not_open"

func notOpen(d DeadLetter) error {
	if d.Status == deadOpen { // a concurrent request changed it
		d.Status = deadRequeued
	}
	return fault.Conflict.New(reasonNotOpen, "The dead letter %s is already %s.", d.ID, d.Status)
}

func (m *Module) requeueDelivery(ctx context.Context, d DeadLetter, by Requester) error {
	err := m.db.InTx(ctx, func(tx *database.Tx) error {
		requestID, err := m.replayer.Request(ctx, tx, contract.ReplayRequest{EventID: *d.EventID, DestinationID: *d.DestinationID,
			RequestedBy: by.Name, Reason: by.Reason, Actor: by.Actor})
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
			return fault.Conflict.Wrap(err, "dead_letter_orphaned", "The event %s or its destination no longer exists, so it cannot be sent again.", *d.EventID)
		}
		if err != nil {
			return err
		}
		return m.markRequeued(ctx, tx, d, &requestID, by)
	})
	if err != nil {
		return fmt.Errorf("requeue dead letter %s: %w", d.ID, err)
	}
	return nil
}

// requeueMessage publishes first and then records it: in the other order, a crash in between
// would lose the message. It locks no row while it waits for the broker.
func (m *Module) requeueMessage(ctx context.Context, d DeadLetterWithBody, by Requester) error {
	if len(d.Body) >= maxDeadBody {
		return fault.Conflict.New("dead_letter_cut", "Only the first %d bytes of the message were stored, so it cannot be published again.", maxDeadBody)
	}
	bounded, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := m.broker.Publish(bounded, []broker.Message{{Queue: broker.Process, Body: d.Body}})[0]; err != nil {
		return fmt.Errorf("requeue dead letter %s: publish: %w", d.ID, err)
	}
	return m.db.InTx(ctx, func(tx *database.Tx) error { return m.markRequeued(ctx, tx, d.DeadLetter, nil, by) })
}

const markRequeuedSQL = `
UPDATE dead_letters SET status = 'requeued', requeued_at = $2, requeued_by = $3, replay_request_id = $4
WHERE  id = $1 AND status = 'open'`

func (m *Module) markRequeued(ctx context.Context, tx *database.Tx, d DeadLetter, requestID *string, by Requester) error {
	n, err := tx.Exec(ctx, markRequeuedSQL, d.ID, tx.Now, by.Name, requestID)
	if err != nil {
		return fmt.Errorf("mark it as requeued: %w", err)
	}
	if n == 0 {
		return notOpen(d)
	}
	details, _ := json.Marshal(struct { // strings alone; cannot fail
		Source          *string `json:"source,omitempty"`
		Kind            string  `json:"kind"`
		EventID         *string `json:"eventId"`
		DestinationID   *string `json:"destinationId"`
		ReplayRequestID *string `json:"replayRequestId"`
		RequestedBy     string  `json:"requestedBy"`
		Reason          string  `json:"reason"`
	}{d.Source, d.Kind, d.EventID, d.DestinationID, requestID, by.Name, by.Reason})
	return m.auditor.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityDeadLetter, EntityID: &d.ID,
		Action: "dead_letter.requeued", Actor: by.Actor, Details: details}})
}

const markResolvedSQL = `
UPDATE dead_letters SET status = 'resolved', resolved_at = $2, resolved_by = $3, resolution = $4
WHERE  id = $1 AND status = 'open'`

// ResolveDeadLetter closes an open dead letter without another delivery. It returns fault.Conflict
// if the dead letter is not open.
func (m *Module) ResolveDeadLetter(ctx context.Context, deadLetterID string, by Requester) (DeadLetterWithBody, error) {
	d, err := m.DeadLetter(ctx, deadLetterID)
	if err != nil {
		return d, err
	}
	if err := m.resolveOpen(ctx, d.DeadLetter, by); err != nil {
		return d, err
	}
	return m.DeadLetter(ctx, deadLetterID)
}

func (m *Module) resolveOpen(ctx context.Context, d DeadLetter, by Requester) error {
	if d.Status != deadOpen {
		return notOpen(d)
	}
	details, _ := json.Marshal(struct { // strings alone; cannot fail
		Source        *string `json:"source,omitempty"`
		Kind          string  `json:"kind"`
		EventID       *string `json:"eventId"`
		DestinationID *string `json:"destinationId"`
		RequestedBy   string  `json:"requestedBy"`
		Reason        string  `json:"reason"`
	}{d.Source, d.Kind, d.EventID, d.DestinationID, by.Name, by.Reason})
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, markResolvedSQL, d.ID, tx.Now, by.Name, by.Reason)
		if err != nil {
			return fmt.Errorf("resolve dead letter %s: %w", d.ID, err)
		}
		if n == 0 {
			return fault.Conflict.New(reasonNotOpen, "The dead letter %s is no longer open.", d.ID)
		}
		return m.auditor.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityDeadLetter, EntityID: &d.ID,
			Action: "dead_letter.resolved", Actor: by.Actor, Details: details}})
	})
}

// Requeued is the result of a bulk requeue.
type Requeued struct {
	Matched  int `json:"matched"`  // open ones that match the filter
	Requeued int `json:"requeued"` // of these, now
	Failed   int `json:"failed"`   // of these, those that cannot be requeued; see the log
	Skipped  int `json:"skipped"`  // of these, those that another request or retention closed or removed meanwhile
}

// oldestDead lists dead letters in the order in which they are requeued.
var oldestDead = database.Listing[DeadLetter]{
	Columns: deadLetterColumns, From: "dead_letters", ID: "id", CountAll: true,
	Key: func(d DeadLetter) database.Position { return database.Position{ID: d.ID} },
}

// RequeueDeadLetters requeues the open dead letters that match f, oldest first and at most
// limit of them (0 for all). With dryRun it only counts them. It ignores dead letters created
// after it began, such as those of requeues that fail again. If the database or the broker is
// unavailable, it stops with that error; earlier requeues stay.
func (m *Module) RequeueDeadLetters(ctx context.Context, f DeadLetterFilter, limit int, dryRun bool, by Requester) (Requeued, error) {
	var done Requeued
	var err error
	done.Matched, err = m.eachOpen(ctx, f, limit, dryRun, func(d DeadLetter) (bool, error) {
		skipped := done.Skipped
		err := m.requeueOneOf(ctx, d, by, &done)
		return done.Skipped == skipped, err
	})
	return done, err
}

// eachOpen acts on the open dead letters that match f, oldest first and at most limit of them (0
// for all), as far as the action counts them. It returns how many match; with dryRun, that is all.
func (m *Module) eachOpen(ctx context.Context, f DeadLetterFilter, limit int, dryRun bool, act func(DeadLetter) (counts bool, err error)) (matched int, err error) {
	if f.Status != "" && f.Status != deadOpen {
		return 0, fault.Invalid.New("not_open", "Only open dead letters can be requeued or closed.").At("status")
	}
	f.Status = deadOpen
	if began := m.now(); f.To == nil || f.To.After(began) {
		f.To = &began
	}
	page := database.Page{Number: 1, Size: 100}
	for counted := 0; ; {
		list, err := database.ReadList(ctx, m.db, oldestDead, f.conditions(ctx), page)
		if err != nil {
			return matched, fmt.Errorf("list dead letters: %w", err)
		}
		if page.After == nil {
			matched = list.Total
		}
		if dryRun {
			return matched, nil
		}
		for _, d := range list.Items {
			if limit > 0 && counted >= limit {
				return matched, nil
			}
			counts, err := act(d)
			if err != nil {
				return matched, err
			}
			if counts {
				counted++
			}
		}
		if list.Next == nil {
			return matched, nil
		}
		page.After = list.Next
	}
}

// Resolved is the result of closing dead letters in bulk.
type Resolved struct {
	Matched  int `json:"matched"`  // open ones that match the filter
	Resolved int `json:"resolved"` // of these, now
	Skipped  int `json:"skipped"`  // of these, those that another request or retention closed or removed meanwhile
}

// ResolveDeadLetters closes the open dead letters that match f, each as ResolveDeadLetter does,
// oldest first and at most limit of them (0 for all). With dryRun it only counts them.
func (m *Module) ResolveDeadLetters(ctx context.Context, f DeadLetterFilter, limit int, dryRun bool, by Requester) (Resolved, error) {
	var done Resolved
	var err error
	done.Matched, err = m.eachOpen(ctx, f, limit, dryRun, func(d DeadLetter) (bool, error) {
		switch err := m.resolveOpen(ctx, d, by); {
		case goneMeanwhile(err):
			done.Skipped++
			return false, nil
		case err != nil:
			return false, err
		}
		done.Resolved++
		return true, nil
	})
	return done, err
}

// goneMeanwhile reports that a dead letter that was listed as open has been requeued, closed or
// removed since.
func goneMeanwhile(err error) bool {
	return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) && fault.As(err).Reason == reasonNotOpen
}

// requeueOneOf requeues d and counts it; its error means that the others would fail too.
func (m *Module) requeueOneOf(ctx context.Context, d DeadLetter, by Requester, done *Requeued) error {
	whole := DeadLetterWithBody{DeadLetter: d}
	var err error
	if d.Kind == deadUnreadable {
		whole, err = m.DeadLetter(ctx, d.ID)
	}
	if err == nil {
		err = m.requeueOpen(ctx, whole, by)
	}
	switch {
	case err == nil:
		done.Requeued++
	case goneMeanwhile(err):
		done.Skipped++
	case fault.Is(err, fault.Conflict):
		done.Failed++
		m.log.WarnContext(ctx, "a dead letter cannot be requeued", append(d.logged(), "error", err)...)
	default:
		return err
	}
	return nil
}
