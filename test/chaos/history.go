package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// stored returns the gateway's ids of all events in the database, by the provider's id.
func (r *run) stored(ctx context.Context) (map[string]string, error) {
	const storedSQL = `
SELECT external_event_id, id
FROM   normalized_events
WHERE  event_type = 'order.created' AND external_event_id IS NOT NULL`
	said, err := r.sql(ctx, storedSQL)
	if err != nil {
		return nil, fmt.Errorf("read the stored events: %w", err)
	}
	list := map[string]string{}
	for line := range strings.SplitSeq(said, "\n") {
		if external, id, ok := strings.Cut(line, "|"); ok {
			list[external] = id
		}
	}
	return list, nil
}

// repeats returns the events that were found to be repeats when they were stored from the spool, by
// the id that the provider was told, and those that they repeat.
func (r *run) repeats(ctx context.Context) (map[string]string, error) {
	list := map[string]string{}
	if !r.aliases {
		return list, nil
	}
	said, err := r.sql(ctx, "SELECT entity_id, CAST(details AS json)->>'eventId' FROM audit_entries WHERE action = 'event.repeated'")
	if err != nil {
		return nil, fmt.Errorf("read the repeats: %w", err)
	}
	for line := range strings.SplitSeq(said, "\n") {
		if alias, first, ok := strings.Cut(line, "|"); ok {
			list[alias] = first
		}
	}
	return list, nil
}

// resendAfterRewind records the accepted events that the database has lost, and makes the
// provider send every webhook again. Lost events must be accepted and delivered again; the
// others are duplicates.
func (r *run) resendAfterRewind(ctx context.Context, before []string) error {
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	lost := r.ledger.resetLost(before, stored)
	r.say("    the database has lost %d of %d accepted events", lost, len(before))
	if lost == 0 {
		return errors.New("the database lost nothing, so the scenario tests nothing")
	}
	n, err := r.sender.repeat(ctx)
	r.say("    the provider sent %d webhooks again", n)
	return err
}

// compareWithStored compares the responses with what is stored.
func (r *run) compareWithStored(stored map[string]string) {
	absent, falseDuplicates := r.ledger.absent(stored)
	if len(absent) > 0 {
		r.fault("%d were answered 2xx and are not in the database: %s", len(absent), firstFew(absent))
	}
	if len(falseDuplicates) > 0 {
		r.fault("%d were answered as duplicates of events that the database had lost: %s", len(falseDuplicates), firstFew(falseDuplicates))
	}
}

// acceptedNow lists the events that have been accepted.
func (l *ledger) acceptedNow() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for external, e := range l.events {
		if !e.accepted.IsZero() {
			list = append(list, external)
		}
	}
	return list
}

// resetLost resets those events of a list that are not stored, and returns their number.
func (l *ledger) resetLost(list []string, stored map[string]string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, external := range list {
		e := l.events[external]
		if stored[external] != "" {
			continue
		}
		n++
		e.lostID = e.eventID
		e.eventID, e.accepted, e.delivered, e.refused, e.webhookID = "", time.Time{}, nil, 0, ""
	}
	return n
}

// absent lists the accepted events that are not stored under their id, and separately those
// whose response named an event that the database had lost before.
func (l *ledger) absent(stored map[string]string) (list, falseDuplicates []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for external, e := range l.events {
		switch {
		case e.accepted.IsZero() || stored[external] == e.eventID || l.repeats[e.eventID] != "" && l.repeats[e.eventID] == stored[external]:
		case e.eventID == e.lostID:
			falseDuplicates = append(falseDuplicates, external)
		default:
			list = append(list, external+" ("+e.eventID+")")
		}
	}
	return list, falseDuplicates
}
