package follow

import (
	"context"
	"encoding/json"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// The kinds of messages, which are the names of the stream's events.
const (
	kindReceived = "received"
	kindStatus   = "status"
	kindRefused  = "refused"
	kindMore     = "more"
)

// moreMessage tells a client that takes a sample that more happened than it is told of.
var moreMessage = &message{kind: kindMore, data: []byte("{}")}

// body is what a message says, as JSON.
type body struct {
	ID      string                 `json:"id"` // of the audit entry
	At      clock.Time             `json:"at"`
	Action  string                 `json:"action"`
	Source  string                 `json:"source"`
	Event   *contract.EventSummary `json:"event"` // null for a refusal
	Details json.RawMessage        `json:"details"`
}

// message is a change, ready to be sent to any client; or, without a kind, the position at
// which a client resumes that has everything before it.
type message struct {
	id, row  string // of the entry, and of the row that has it
	kind     string
	position string
	body
	data []byte
}

// kindOf returns the kind of an entry's message, "" for entries that are not shown: the
// receipt is shown by the event, not again by its webhook and its jobs.
func kindOf(e contract.TrailEntry) string {
	switch {
	case e.Action == "webhook.rejected":
		return kindRefused
	case e.EntityType != contract.EntityNormalizedEvent || e.EntityID == nil || e.Action == "event.queued":
		return ""
	case e.Action == "event.normalized" || e.Action == "event.seeded":
		return kindReceived
	}
	return kindStatus
}

// statusAfter returns the status that an entry leaves, or the present one.
func statusAfter(e contract.TrailEntry, now contract.EventStatus) contract.EventStatus {
	switch e.Action {
	case "event.normalized":
		return contract.EventPending
	case "event.processed":
		return contract.EventProcessed
	case "event.retry_scheduled":
		return contract.EventRetrying
	case "event.failed":
		return contract.EventFailed
	}
	return now
}

// messages reads the messages of rows, oldest first.
func (m *Module) messages(ctx context.Context, rows []contract.TrailRow) ([]*message, error) {
	entries, err := m.d.Trail.EntriesOf(ctx, rows)
	if err != nil {
		return nil, err
	}
	var ids []string
	known := map[string]bool{}
	for _, e := range entries {
		if kind := kindOf(e); kind != "" && kind != kindRefused && !known[*e.EntityID] {
			known[*e.EntityID] = true
			ids = append(ids, *e.EntityID)
		}
	}
	events, err := m.d.Events.Summaries(ctx, ids)
	if err != nil {
		return nil, err
	}
	var list []*message
	for _, e := range entries {
		msg, ok, err := messageOf(e, events)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, msg)
		}
	}
	return list, nil
}

// messageOf returns false for an entry that is not shown.
func messageOf(e contract.TrailEntry, events map[string]contract.EventSummary) (*message, bool, error) {
	msg := &message{id: e.ID, row: e.Row, kind: kindOf(e), body: body{ID: e.ID, At: e.CreatedAt, Action: e.Action, Details: e.Details}}
	switch msg.kind {
	case "":
		return nil, false, nil
	case kindRefused:
		var refusal struct{ Source string }
		_ = json.Unmarshal(e.Details, &refusal) // one that somebody changed in the database is of no source
		msg.Source = refusal.Source
	default:
		event, found := events[*e.EntityID]
		if !found { // retention has deleted it
			return nil, false, nil
		}
		event.Status = statusAfter(e, event.Status)
		msg.Event, msg.Source = &event, event.Source
	}
	data, err := json.Marshal(msg.body)
	msg.data = data
	return msg, err == nil, err
}
