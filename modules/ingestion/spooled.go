package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"integration-gateway/modules/ingestion/spool"
	"integration-gateway/platform/compact"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

// A webhook that is verified and cannot be stored goes into the spool at the broker: its sender may
// never send it again. It keeps its ids, so that a commit that did happen is recognised when the
// spool is stored. Whether it is a repeat shows only then.

// storeSlow is the reason of the error about a commit that takes too long.
const storeSlow = "store_slow"

func away() error {
	return fault.Unavailable.New(database.UnavailableReason, "The database is unavailable.").After(5 * time.Second)
}

// spools reports whether the webhook may go into the spool. A released one is kept in quarantine.
func (m *Module) spools(w verifiedWebhook) bool { return m.d.Spool.Takes() && w.release == nil }

// notStored reports that the database did not store a webhook, or did not say whether it did.
func notStored(err error) bool {
	f := fault.As(err)
	return f != nil && f.Kind == fault.Unavailable && (f.Reason == database.UnavailableReason || f.Reason == storeSlow)
}

// spool puts a webhook into the spool; cause says why it is not stored. Without the spool, the
// sender is told that.
func (m *Module) spool(ctx context.Context, w verifiedWebhook, cause error) (receipt, error) {
	m.d.Spool.Failed()
	one := []verifiedWebhook{w}
	if w.source.Spec.Deduplication.Window() == 0 { // else the database knows the ids
		m.markAll(ctx, one)
	}
	if err := m.refuses(one[0]); err != nil {
		return receipt{}, err
	}
	if m.d.Spool.Put(ctx, one[0].forSpool()) != nil { // which logs it
		return receipt{}, cause
	}
	r := receipt{EventID: w.events[0].id, Status: statusQueued, CorrelationID: w.correlationID}
	if len(w.events) > 1 {
		for _, e := range w.events {
			r.EventIDs = append(r.EventIDs, e.id)
		}
	}
	return r, nil
}

// forSpool converts the webhook for the spool.
func (w verifiedWebhook) forSpool() spool.Webhook {
	s := spool.Webhook{ID: w.webhookID, Source: w.source.Name, IntegrationID: w.source.IntegrationID, Provider: w.source.Spec.Name,
		SecretID: w.secretID, CorrelationID: w.correlationID, SourceIP: w.sourceIP, ReceivedAt: w.receivedAt,
		WindowSeconds: w.source.Spec.Deduplication.WindowSeconds, Hops: w.hops, Redacted: w.redacted, PossibleReplay: w.possibleReplay, Marks: w.ownMarks(),
		Headers: compact.Alone(w.headers), Body: compact.Alone(w.body), Events: make([]spool.Event, len(w.events))}
	for i, e := range w.events {
		s.Events[i] = spool.Event{ID: e.id, Key: w.withoutWindow(e.key), ExternalID: e.ID, Type: e.Type, Subject: e.Subject,
			OccurredAt: e.OccurredAt, Payload: compactPayload(e.Payload, w.body, w.webhookID, e.id)}
	}
	return s
}

// fromSpool is the reverse of forSpool. The source is as it was when the webhook was accepted, even
// if it has been changed or deactivated since.
func fromSpool(s spool.Webhook) (verifiedWebhook, error) {
	src := &provider.Source{IntegrationID: s.IntegrationID, Name: s.Source,
		Spec: provider.Spec{Name: s.Provider, Deduplication: provider.Deduplication{WindowSeconds: s.WindowSeconds}}}
	w := verifiedWebhook{source: &source{Source: src}, webhookID: s.ID, secretID: s.SecretID, correlationID: s.CorrelationID, sourceIP: s.SourceIP,
		receivedAt: s.ReceivedAt, spooled: true, possibleReplay: s.PossibleReplay}
	if s.Marks != nil {
		if err := json.Unmarshal([]byte(*s.Marks), &w.marks); err != nil {
			return w, fmt.Errorf("read the marks of a spooled webhook: %w", err)
		}
	}
	w.redacted, w.hops, w.events = s.Redacted, s.Hops, make([]draft, len(s.Events))
	var err error
	if w.body, err = openBody("webhook", s.ID, s.Body); err != nil {
		return w, err
	}
	if w.headers, err = openHeaders("webhook", s.ID, s.Headers, nil); err != nil {
		return w, err
	}
	for i, e := range s.Events {
		payload, err := openPayload(e.ID, e.Payload, s.Body)
		if err != nil {
			return w, err
		}
		w.events[i] = draft{id: e.ID, key: e.Key, Event: provider.Event{ID: e.ExternalID, Type: e.Type, Subject: e.Subject,
			OccurredAt: e.OccurredAt, Payload: payload}}
	}
	return w, nil
}

// drainSpool stores what is in the spool until ctx ends.
func (m *Module) drainSpool(ctx context.Context) {
	if m.d.Spool != nil {
		m.d.Spool.Run(ctx, m.storeSpooled)
	}
}

// storeSpooled stores spooled webhooks. Those whose keys are known by now are repeats.
func (m *Module) storeSpooled(ctx context.Context, spooled []spool.Webhook) (outcomes []string, errs []error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	outcomes, errs = make([]string, len(spooled)), make([]error, len(spooled))
	var webhooks []verifiedWebhook
	var at []int
	for i, s := range spooled {
		w, err := fromSpool(s)
		if err == nil {
			err = m.inWindow(ctx, w)
		}
		if errs[i] = err; err != nil {
			continue
		}
		m.route(ctx, w)
		w.compact(m.headerSets.observe(w.source.Name, w.headers))
		webhooks, at = append(webhooks, w), append(at, i)
	}
	if len(webhooks) == 0 {
		return outcomes, errs
	}
	for n, r := range m.commitAll(ctx, webhooks, false) {
		outcomes[at[n]], errs[at[n]] = spool.Stored, r.Err
		if r.Value.Duplicate {
			outcomes[at[n]] = spool.Repeated
		}
	}
	return outcomes, errs
}

// storeUnerased stores spooled webhooks without the events that an erasure would have found if they had
// been stored when they were received: it does not look again.
func (m *Module) storeUnerased(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook) (map[string]keyOwner, error) {
	kept, erasures, err := m.withoutMarked(ctx, tx, webhooks)
	if err != nil {
		return nil, err
	}
	at, err := m.storeNew(ctx, tx, kept, false)
	if err != nil || len(erasures) == 0 {
		return at, err
	}
	if err := addOwners(ctx, tx, webhooks, at); err != nil {
		return nil, err
	}
	var entries []contract.AuditEntry
	for _, w := range webhooks {
		for _, e := range w.events {
			erasureID, gone := erasures[e.id]
			if !gone {
				continue
			}
			owner, known := at[e.key]
			switch {
			case !known:
				at[e.key] = keyOwner{e.id, w.correlationID}
				entries = append(entries, entry(contract.EntityNormalizedEvent, e.id, "event.erased", erased{erasureID, w.webhookID, w.source.Name}))
			case owner.eventID != e.id:
				entries = append(entries, w.repeatEntry(e, owner.eventID))
			}
		}
	}
	return at, m.record(ctx, tx, entries)
}

// withoutMarked returns the webhooks without the events that erasures are of, and those events with
// the ids of the erasures. A webhook that loses an event loses its original too.
func (m *Module) withoutMarked(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook) (kept []verifiedWebhook, erasures map[string]string, err error) {
	sources, since := make([]string, len(webhooks)), webhooks[0].receivedAt
	for i, w := range webhooks {
		sources[i] = w.source.Name
		if w.receivedAt.Before(since) {
			since = w.receivedAt
		}
	}
	marks, err := lockMarks(ctx, tx, sources, since)
	if err != nil || len(marks) == 0 {
		return webhooks, nil, err
	}
	erasures = map[string]string{}
	for _, w := range webhooks {
		for _, mark := range marks {
			found, err := m.erasedBy(mark, w)
			if err != nil {
				return nil, nil, err
			}
			for _, eventID := range found {
				erasures[eventID] = mark.ErasureID
			}
		}
		rest := slices.DeleteFunc(slices.Clone(w.events), func(e draft) bool { return erasures[e.id] != "" })
		if len(rest) == 0 {
			continue
		}
		if len(rest) < len(w.events) {
			w.events = rest
			w.removeOriginal()
		}
		kept = append(kept, w)
	}
	return kept, erasures, nil
}
