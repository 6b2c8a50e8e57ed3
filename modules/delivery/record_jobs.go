package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

var endOwnedSQL = `
UPDATE processing_jobs
SET    status = v.new_status, completed_at = $1, error_message = v.problem, attempt_no = v.number,
       wake_at = NULL, lease_until = NULL, claim_token = NULL
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND claim_token = v.token
AND    ` + succeedStep.whenSQL() + `
RETURNING processing_jobs.id`

// A job whose lease expired before its success was stored is done, unless it was claimed
// again.
var endLateSQL = `
UPDATE processing_jobs
SET    ` + lateStep.setSQL() + `, completed_at = $1, attempt_no = v.number, wake_at = NULL, published_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id
AND    ` + lateStep.whenSQL() + `
RETURNING processing_jobs.id`

// endJobs ends the jobs of list and marks those that this process owned.
func (m *Module) endJobs(ctx context.Context, tx *database.Tx, list []decided) error {
	rows := database.NewRows("event_id uuid", "id uuid", "token uuid", "new_status text", "number bigint", "problem text").Expect(len(list))
	for _, d := range list {
		end := failStep
		if d.response.received() {
			end = succeedStep
		}
		rows.Add(d.EventID, d.ID, d.token, string(end.to), d.number, d.response.problem())
	}
	var owned, late []string
	if err := tx.SelectRows(ctx, &owned, rows, endOwnedSQL, tx.Now); err != nil {
		return fmt.Errorf("end jobs: %w", err)
	}
	rest := database.NewRows("event_id uuid", "id uuid", "number bigint")
	own := idSet(owned)
	for i := range list {
		list[i].owned = own[list[i].ID]
		if !list[i].owned && list[i].response.received() {
			rest.Add(list[i].EventID, list[i].ID, list[i].number)
		}
	}
	if rest.Len() == 0 {
		return nil
	}
	if err := tx.SelectRows(ctx, &late, rest, endLateSQL, tx.Now); err != nil {
		return fmt.Errorf("end late jobs: %w", err)
	}
	own = idSet(late)
	for i := range list {
		list[i].owned = list[i].owned || own[list[i].ID]
	}
	return nil
}

func idSet(ids []string) map[string]bool {
	in := make(map[string]bool, len(ids))
	for _, id := range ids {
		in[id] = true
	}
	return in
}

// replayIDs returns the replay requests that list may have ended.
func replayIDs(list []decided) []string {
	var ids []string
	for _, d := range list {
		if d.owned && d.next == nil && d.ReplayRequestID != nil {
			ids = append(ids, *d.ReplayRequestID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

const selectReplayJobsSQL = `
SELECT ` + jobColumns + `
FROM   processing_jobs
WHERE  destination_id IS NOT NULL AND replay_request_id IN (SELECT v.request_id FROM v)
ORDER  BY processing_jobs.id`

// endReplays ends the requests without live jobs: as completed if every destination received
// the event, else as failed.
func (m *Module) endReplays(ctx context.Context, tx *database.Tx, requestIDs []string) error {
	if len(requestIDs) == 0 {
		return nil
	}
	rows := database.NewRows("request_id uuid")
	for _, id := range requestIDs {
		rows.Add(id)
	}
	var jobs []job
	if err := tx.SelectRows(ctx, &jobs, rows, selectReplayJobsSQL); err != nil {
		return fmt.Errorf("look up replay jobs: %w", err)
	}
	return m.replays.Ended(ctx, tx, replayEnds(jobs))
}

// replayEnds returns the results of the requests whose jobs, oldest first, have all ended. For
// each destination the last job counts.
func replayEnds(jobs []job) []contract.ReplayEnd {
	type request struct {
		event string
		live  bool
		last  map[string]job
	}
	requests := map[string]*request{}
	for _, j := range jobs {
		r := requests[*j.ReplayRequestID]
		if r == nil {
			r = &request{event: j.EventID, last: map[string]job{}}
			requests[*j.ReplayRequestID] = r
		}
		r.live = r.live || j.Status == queued || j.Status == running
		r.last[*j.DestinationID] = j
	}
	var ends []contract.ReplayEnd
	for id, r := range requests {
		if r.live {
			continue
		}
		end := contract.ReplayEnd{RequestID: id, EventID: r.event}
		for _, j := range r.last {
			if j.Status == failed {
				end.Failed, end.Error = true, j.ErrorMessage
			}
		}
		ends = append(ends, end)
	}
	return ends
}

func eventEntry(eventID, action string, details map[string]any) contract.AuditEntry {
	text, _ := json.Marshal(details) // strings and numbers; cannot fail
	return contract.AuditEntry{EntityType: contract.EntityNormalizedEvent, EntityID: &eventID, Action: action,
		Actor: contract.ActorGateway, Details: text}
}
