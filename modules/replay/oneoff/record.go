package oneoff

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// retryUnsent is when a request without an attempt is due again.
const retryUnsent = time.Second

// result is what an attempt came to.
type result struct {
	due
	sent   contract.SentOnce
	unsent bool // there was no attempt, or its result is unknown
}

// recordAll stores a group of results. If one of them fails the group, each is stored by itself.
func (s *Sender) recordAll(list []result) []batch.Result[struct{}] {
	results := make([]batch.Result[struct{}], len(list))
	err := s.record(list)
	for i := range list {
		if results[i].Err = err; err != nil && len(list) > 1 && !fault.Is(err, fault.Unavailable) {
			results[i].Err = s.record(list[i : i+1])
		}
	}
	return results
}

const lockSQL = `
SELECT r.id
FROM   replay_requests r
WHERE  r.id IN (SELECT id FROM v)
ORDER  BY r.id`

// A claim that has expired may be another process's by now: then the attempt counts, and the other
// one's goes on.
const recordSQL = `
UPDATE replay_requests
SET    attempts = attempts + v.made, http_status = CASE WHEN v.made = 1 THEN v.answered ELSE http_status END,
       error_kind = CASE WHEN v.made = 1 THEN v.kind ELSE error_kind END, error_message = CASE WHEN v.made = 1 THEN v.problem ELSE error_message END,
       due_at = CASE WHEN claim_token = v.token THEN v.due ELSE due_at END, claim_token = CASE WHEN claim_token = v.token THEN NULL ELSE claim_token END
FROM   v
WHERE  replay_requests.id = v.id AND status = 'dispatched'`

// record stores results, and ends the requests that were received or given up.
func (s *Sender) record(list []result) error {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	list = slices.SortedFunc(slices.Values(list), func(a, b result) int { return strings.Compare(a.ID, b.ID) })
	return s.d.DB.InTx(ctx, func(tx *database.Tx) error {
		ids := make([]string, len(list))
		rows := database.NewRows("id uuid", "token uuid", "made bigint", "answered bigint", "kind text", "problem text", "due timestamptz")
		var ends []contract.ReplayEnd
		var ended []string
		for i, r := range list {
			made, wait := 1, r.sent.Wait
			if r.unsent {
				made, wait = 0, retryUnsent
			}
			var answered *int
			if r.sent.Status != 0 {
				answered = &r.sent.Status
			}
			problem := storable(r.sent.Error)
			ids[i] = r.ID
			rows.Add(r.ID, r.token, made, answered, r.sent.ErrorKind, problem, tx.Now.Add(wait))
			if !r.unsent && (r.sent.Received || r.sent.Final) {
				ends = append(ends, contract.ReplayEnd{RequestID: r.ID, EventID: r.EventID, Failed: !r.sent.Received, Error: problem})
				ended = append(ended, r.ID)
			}
		}
		var locked []string
		if err := tx.SelectRows(ctx, &locked, database.IDs(ids), lockSQL+tx.Dialect.ForUpdate); err != nil {
			return fmt.Errorf("lock replay requests: %w", err)
		}
		if _, err := tx.ExecRows(ctx, rows, recordSQL); err != nil {
			return fmt.Errorf("store attempts of replays: %w", err)
		}
		if err := s.d.Requests.Ended(ctx, tx, ends); err != nil {
			return err
		}
		return s.Close(ctx, tx, ended) // a bulk replay's URL has the replay's id, and is closed with it
	})
}

// storable returns text that both databases accept.
func storable(text *string) *string {
	if text == nil {
		return nil
	}
	clean := strings.ReplaceAll(strings.ToValidUTF8(*text, "\uFFFD"), "\x00", "\uFFFD")
	return &clean
}

const selectWaitingSQL = `
SELECT r.id, r.normalized_event_id
FROM   replay_requests r
WHERE  r.id IN (SELECT id FROM v) AND r.status = 'dispatched' AND (r.claim_token IS NULL OR r.due_at <= $1)
ORDER  BY r.id`

// Cancel ends those of these requests that wait, and returns their number. Attempts under way are
// not interrupted.
func (s *Sender) Cancel(ctx context.Context, tx *database.Tx, requestIDs []string, reason string) (int, error) {
	if len(requestIDs) == 0 {
		return 0, nil
	}
	var waiting []struct {
		ID      string `db:"id"`
		EventID string `db:"normalized_event_id"`
	}
	if err := tx.SelectRows(ctx, &waiting, database.IDs(requestIDs), selectWaitingSQL+tx.Dialect.ForUpdate, tx.Now); err != nil {
		return 0, fmt.Errorf("look for waiting requests: %w", err)
	}
	ends := make([]contract.ReplayEnd, len(waiting))
	for i, w := range waiting {
		ends[i] = contract.ReplayEnd{RequestID: w.ID, EventID: w.EventID, Failed: true, Error: &reason}
	}
	return len(ends), s.d.Requests.Ended(ctx, tx, ends)
}
