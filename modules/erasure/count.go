package erasure

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// firstShown is how many events a dry run shows.
const firstShown = 20

// OfSource is the part of a dry run's count that is of one source.
type OfSource struct {
	Source string `json:"source"`
	Events int    `json:"events"`
}

// Found is what an order would erase.
type Found struct {
	DryRun      bool        `json:"dryRun"`
	Complete    bool        `json:"complete"` // false: counting took too long, and there is more
	Looked      int         `json:"looked"`   // events that were looked at
	Unreadable  int         `json:"unreadable"`
	Events      int         `json:"events"`
	Others      int         `json:"others"`      // other events in the same webhooks; they would lose the original body
	Quarantined int         `json:"quarantined"` // refused requests
	BySource    []OfSource  `json:"bySource"`
	Oldest      *clock.Time `json:"oldest"` // by receivedAt
	Newest      *clock.Time `json:"newest"`
	First       []string    `json:"first"` // the ids of the oldest 20
}

// None reports whether there is nothing to erase.
func (f Found) None() bool { return f.Events == 0 && f.Quarantined == 0 }

// Count returns what an order would erase now. It reads part by part, so that its memory does not
// grow with the number of events; within the API it gives up after a while.
func (m *Module) Count(ctx context.Context, o Order, atMost time.Duration) (Found, error) {
	found := Found{DryRun: true, BySource: []OfSource{}, First: []string{}}
	t, sources, err := m.resolve(ctx, o)
	if err != nil {
		return found, err
	}
	began := m.d.Now()
	late := func() bool { return atMost > 0 && m.d.Now.Since(began) >= atMost }
	if t.kind() == byEvents {
		known, err := m.d.Events.ErasureEvents(ctx, t.EventIDs)
		found.Complete, found.Looked = true, len(known)
		if err != nil {
			return found, err
		}
		return found, m.count(ctx, &found, known)
	}
	for after, end := "", false; !end; {
		if late() {
			return found, nil
		}
		refused, err := m.refused(ctx, t, sources, after)
		if err != nil {
			return found, err
		}
		found.Quarantined += len(refused.IDs)
		after, end = refused.Last, refused.End
	}
	for after := startOf(t); !found.Complete && !late(); {
		page, err := m.page(ctx, t, sources, after, began)
		if err != nil {
			return found, err
		}
		events := page.Events
		if o.Limit != nil && found.Events+len(events) >= *o.Limit {
			events, page.End = events[:*o.Limit-found.Events], true
		}
		if err := m.count(ctx, &found, events); err != nil {
			return found, err
		}
		found.Looked, found.Unreadable = found.Looked+page.Looked, found.Unreadable+page.Unreadable
		after, found.Complete = page.Last, page.End
	}
	return found, nil
}

// count adds events, in the order of their receipt if there are several calls.
func (m *Module) count(ctx context.Context, f *Found, events []contract.ErasureEvent) error {
	slices.SortFunc(events, func(a, b contract.ErasureEvent) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), strings.Compare(a.EventID, b.EventID))
	})
	for _, e := range events {
		at := clock.At(e.ReceivedAt)
		if f.Oldest == nil {
			f.Oldest = &at
		}
		f.Newest = &at
		f.Events++
		i := slices.IndexFunc(f.BySource, func(s OfSource) bool { return s.Source == e.Source })
		if i < 0 {
			i, f.BySource = len(f.BySource), append(f.BySource, OfSource{Source: e.Source})
		}
		f.BySource[i].Events++
		if len(f.First) < firstShown {
			f.First = append(f.First, e.EventID)
		}
	}
	slices.SortFunc(f.BySource, func(a, b OfSource) int { return strings.Compare(a.Source, b.Source) })
	others, err := m.d.Events.OthersOf(ctx, idsOf(events))
	f.Others += len(others)
	return err
}

// create stores an order and audits it. The lease is this process's, or else nobody's.
func (m *Module) create(ctx context.Context, o Order, mine bool) (e erasure, err error) {
	t, sources, err := m.resolve(ctx, o)
	if err != nil {
		return e, err
	}
	e = erasure{ID: id.New(), Status: queued, Kind: t.kind(), Target: t, MostEvents: o.Limit, RequestedBy: defaultRequestedBy,
		Actor: httpapi.Actor(ctx), Stage: inQuarantine}
	if o.Reason != nil {
		e.Reason = strings.TrimSpace(*o.Reason)
	}
	if o.RequestedBy != nil {
		e.RequestedBy = strings.TrimSpace(*o.RequestedBy)
	}
	if text := t.text(); text != "" {
		digest := m.d.Digester.Digest(text)
		e.TextDigest = &digest
	} else {
		e.Stage = inEvents
	}
	start := startOf(t)
	e.AfterAt, e.AfterID = clock.At(start.At), start.EventID
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		e.CreatedAt = clock.At(tx.Now)
		e.UpTo, e.UpdatedAt = e.CreatedAt, e.CreatedAt
		var token *string
		var until *time.Time
		if mine {
			lease := tx.Now.Add(m.cfg.Lease)
			token, until = &m.token, &lease
		}
		if err := insert(ctx, tx, e, sources, token, until); err != nil {
			return err
		}
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{m.orderedEntry(e)})
	})
	return e, err
}

func (m *Module) orderedEntry(e erasure) contract.AuditEntry {
	d := details{ErasureID: e.ID, Kind: e.Kind, Paths: e.Target.Paths, Reason: e.Reason}
	if e.Target.Source != nil {
		d.Source = *e.Target.Source
	}
	if e.TextDigest != nil {
		d.TextDigest = *e.TextDigest
	}
	return entry(contract.EntityRecords, nil, "records.erasure_ordered", e.Actor, d)
}

// Erase stores an order and carries it out. told is told after each piece. If it fails, or its
// process dies, a worker goes on.
func (m *Module) Erase(ctx context.Context, o Order, told func(View)) (View, error) {
	e, err := m.create(ctx, o, true)
	if err != nil {
		return View{}, err
	}
	for {
		switch err := m.step(ctx, e.ID); {
		case errors.Is(err, errLost) && clock.Sleep(ctx, m.cfg.Look): // a worker has taken it over
		case err != nil:
			return viewOf(e), err
		}
		if e, err = m.visible(ctx, e.ID); err != nil || e.EndedAt != nil {
			return viewOf(e), err
		}
		told(viewOf(e))
	}
}
