package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/redaction"
)

// What was received before an erasure was ordered is not stored after the erasure has searched for
// it. A refused request may wait in the memory of a process, and a release may hold a request that
// is no longer in quarantine. So an erasure leaves a mark before it searches, and a transaction that
// stores such a request reads the marks first. The lock on a source's row in quarantine_erasures
// decides which of the two is first: either the erasure finds what was stored, or the transaction
// finds the mark. A mark holds a keyed hash, since the erasure forgets the text when it ends.

// erasureMark is a row of erasure_marks.
type erasureMark struct {
	ErasureID    string      `db:"erasure_id"`
	Source       string      `db:"source"` // "" for all
	TextDigest   string      `db:"text_digest"`
	TextBytes    int         `db:"text_bytes"`
	Paths        *string     `db:"paths"` // nil for an erasure by subject
	ReceivedFrom *clock.Time `db:"received_from"`
	ReceivedTo   *clock.Time `db:"received_to"`
	OrderedAt    clock.Time  `db:"ordered_at"`
}

const (
	markErasureSQL = `
INSERT INTO quarantine_erasures (source, erased_at) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET erased_at = excluded.erased_at`
	insertMarkSQL = `
INSERT INTO erasure_marks (erasure_id, source, text_digest, text_bytes, paths, received_from, received_to, ordered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (erasure_id, source) DO NOTHING`
)

// MarkErasure says that an erasure is about to search. It waits for the refused and released
// requests that are being written.
func (m *Module) MarkErasure(ctx context.Context, mark contract.ErasureMark) error {
	sources := slices.Sorted(slices.Values(mark.Sources))
	if mark.Sources == nil {
		sources = []string{""}
	}
	var paths *string
	if mark.Paths != nil {
		text, err := json.Marshal(mark.Paths)
		if err != nil {
			return fmt.Errorf("write the paths of an erasure: %w", err)
		}
		written := string(text)
		paths = &written
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		for _, source := range sources {
			if _, err := tx.Exec(ctx, markErasureSQL, source, tx.Now); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, insertMarkSQL, mark.ErasureID, source, m.d.Digester.Digest(mark.Text), len(mark.Text), paths,
				mark.ReceivedFrom, mark.ReceivedTo, mark.OrderedAt); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark an erasure: %w", err)
	}
	return nil
}

// RemoveErasureMarks has an erasure that was cancelled concern nothing from now on.
func (m *Module) RemoveErasureMarks(ctx context.Context, tx *database.Tx, erasureID string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM erasure_marks WHERE erasure_id = $1`, erasureID); err != nil {
		return fmt.Errorf("remove the marks of an erasure: %w", err)
	}
	return nil
}

// The rows must exist to be locked. Erasures wait for the lock, other writers do not.
const (
	insertLocksSQL = `
INSERT INTO quarantine_erasures (source, erased_at)
SELECT source, at FROM v
WHERE  source IS NOT NULL
ON CONFLICT (source) DO NOTHING`
	lockMarksSQL = `
SELECT e.erased_at
FROM   quarantine_erasures e
WHERE  e.source IN (SELECT source FROM v)
ORDER  BY e.source`
	selectMarksSQL = `
SELECT e.erasure_id, e.source, e.text_digest, e.text_bytes, e.paths, e.received_from, e.received_to, e.ordered_at
FROM   erasure_marks e
WHERE  e.source IN (SELECT source FROM v) AND e.ordered_at > $1
ORDER  BY e.ordered_at`
)

// clockSlack is more than the processes' clocks differ by.
const clockSlack = 2 * time.Second

// lockMarks returns the marks that may concern requests of these sources, the first of which was
// received at since. Erasures of the sources wait until tx ends.
func lockMarks(ctx context.Context, tx *database.Tx, sources []string, since time.Time) (marks []erasureMark, err error) {
	names := map[string]bool{"": true}
	for _, source := range sources {
		names[source] = true
	}
	rows := database.NewRows("source text", "at timestamptz")
	for _, source := range slices.Sorted(maps.Keys(names)) {
		rows.Add(source, time.Unix(0, 0).UTC())
	}
	if _, err := tx.ExecRows(ctx, rows, insertLocksSQL); err != nil {
		return nil, fmt.Errorf("prepare the erasures of the quarantine: %w", err)
	}
	var locked []clock.Time
	if err := tx.SelectRows(ctx, &locked, rows, lockMarksSQL+tx.Dialect.ForShare); err != nil {
		return nil, fmt.Errorf("lock the erasures of the quarantine: %w", err)
	}
	since = since.Add(-clockSlack)
	if !slices.ContainsFunc(locked, func(at clock.Time) bool { return at.After(since) }) {
		return nil, nil
	}
	if err := tx.SelectRows(ctx, &marks, rows, selectMarksSQL, since); err != nil {
		return nil, fmt.Errorf("read the marks of erasures: %w", err)
	}
	return marks, nil
}

// concerns reports whether the erasure is of what a source received then.
func (e erasureMark) concerns(source string, receivedAt time.Time) bool {
	return (e.Source == "" || e.Source == source) && receivedAt.Before(e.OrderedAt.Add(clockSlack)) &&
		(e.ReceivedFrom == nil || !receivedAt.Before(e.ReceivedFrom.Time)) && (e.ReceivedTo == nil || !receivedAt.After(e.ReceivedTo.Time))
}

// text is what the erasure looks for.
func (e erasureMark) text(matches func(text, digest string) bool) sought {
	is := func(text string) bool { return len(text) == e.TextBytes && matches(text, e.TextDigest) }
	return sought{size: e.TextBytes, is: is, within: func(text []byte) bool {
		if len(text) > maxSearchedByHash {
			return true // it cannot be told in time
		}
		for at := 0; at+e.TextBytes <= len(text); at++ {
			if is(string(text[at : at+e.TextBytes])) {
				return true
			}
		}
		return false
	}}
}

// maxSearchedByHash bounds the texts in which a text is looked for by its hash, in bytes.
const maxSearchedByHash = 64 << 10

// holds looks at the erasure's paths; nil for an erasure by subject.
func (e erasureMark) holds(is func(text string) bool) (Holds, error) {
	if e.Paths == nil {
		return nil, nil //nolint:nilnil // contents do not matter
	}
	var texts []string
	if err := json.Unmarshal([]byte(*e.Paths), &texts); err != nil {
		return nil, fmt.Errorf("read the paths of an erasure: %w", err)
	}
	var paths redaction.Paths
	for _, text := range texts {
		one, err := redaction.ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("the path %s %w", text, err)
		}
		paths = paths.And(one)
	}
	return func(req provider.Request) (found, read bool) { return provider.Holds(req, paths, is) }, nil
}

// withoutErasedRefused removes the content of refused requests that an erasure looks for, and may have
// looked for before they are written.
func (m *Module) withoutErasedRefused(ctx context.Context, tx *database.Tx, all []quarantined) error {
	if len(all) == 0 {
		return nil
	}
	sources, since := make([]string, len(all)), all[0].ReceivedAt.Time
	for i, q := range all {
		sources[i] = q.Source
		if q.ReceivedAt.Before(since) {
			since = q.ReceivedAt.Time
		}
	}
	marks, err := lockMarks(ctx, tx, sources, since)
	if err != nil {
		return err
	}
	for i := range all {
		q := &all[i]
		for _, mark := range marks {
			if !mark.concerns(q.Source, q.ReceivedAt.Time) {
				continue
			}
			found, err := m.looksFor(mark, *q)
			if err != nil {
				return err
			}
			if found {
				q.removeContent()
				break
			}
		}
	}
	return nil
}

// looksFor reports whether the erasure's search of the quarantine would have found a request.
func (m *Module) looksFor(mark erasureMark, q quarantined) (bool, error) {
	if err := q.unpack(); err != nil {
		return false, err
	}
	text := mark.text(m.d.Digester.Matches)
	holds, err := mark.holds(text.is)
	if err != nil {
		return false, err
	}
	return q.matches(text, holds)
}

// erasedRelease refuses the release of a request whose events an erasure would have found: the
// erasure does not look again.
func (m *Module) erasedRelease(marks []erasureMark, w verifiedWebhook) error {
	for _, mark := range marks {
		found, err := m.erasedBy(mark, w)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fault.Invalid.New("erased",
				"The erasure that was ordered at %s is of its event. Delete the request; if the event is wanted nevertheless, have the provider send it again.",
				mark.OrderedAt.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// erasedBy returns the ids of the webhook's events that an erasure would find: those that hold it, or
// all if the request alone does.
func (m *Module) erasedBy(mark erasureMark, w verifiedWebhook) (eventIDs []string, err error) {
	if !mark.concerns(w.source.Name, w.receivedAt) {
		return nil, nil
	}
	text := mark.text(m.d.Digester.Matches)
	holds, err := mark.holds(text.is)
	if err != nil {
		return nil, err
	}
	asJSON := http.Header{"Content-Type": {"application/json"}}
	for _, e := range w.events {
		found := false
		if holds == nil {
			found = e.Subject != nil && text.is(provider.Clean(*e.Subject))
		} else {
			found, _ = holds(provider.Request{Header: asJSON, Body: e.Payload})
		}
		if found {
			eventIDs = append(eventIDs, e.id)
		}
	}
	if len(eventIDs) == 0 && holds != nil && w.requestHolds(holds) {
		for _, e := range w.events {
			eventIDs = append(eventIDs, e.id)
		}
	}
	return eventIDs, nil
}

// requestHolds looks at the webhook's headers and body.
func (w verifiedWebhook) requestHolds(holds Holds) bool {
	var stored map[string][]string
	_ = json.Unmarshal(w.headers, &stored) // written by storedHeaders
	header := http.Header{}
	for name, values := range stored {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if w.redacted { // a form is stored as JSON
		header.Set("Content-Type", "application/json")
	}
	found, _ := holds(provider.Request{Header: header, Body: w.body})
	return found
}
