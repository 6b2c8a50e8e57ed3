package delivery

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// latest is the job that determines the state of one of an event's destinations: the live
// one, else the last.
type latest struct {
	EventID       string           `db:"normalized_event_id"`
	DestinationID string           `db:"destination_id"`
	Status        status           `db:"status"`
	Trigger       contract.Trigger `db:"triggered_by"`
}

// derive computes an event's status from its destinations' latest jobs.
func derive(jobs []latest) contract.EventStatus {
	var isRunning, isRetrying, isQueued, hasFailed bool
	for _, j := range jobs {
		switch {
		case j.Status == running:
			isRunning = true
		case j.Status == queued && j.Trigger == contract.TriggerRetry:
			isRetrying = true
		case j.Status == queued:
			isQueued = true
		case j.Status == failed:
			hasFailed = true
		}
	}
	switch {
	case isRunning:
		return contract.EventProcessing
	case isRetrying:
		return contract.EventRetrying
	case isQueued:
		return contract.EventPending
	case hasFailed:
		return contract.EventFailed
	}
	return contract.EventProcessed
}

const selectLatestSQL = `
SELECT normalized_event_id, destination_id, status, triggered_by
FROM  (SELECT j.normalized_event_id, j.destination_id, j.status, j.triggered_by,
              row_number() OVER (PARTITION BY j.normalized_event_id, j.destination_id
                                 ORDER BY CASE WHEN j.status IN ` + live + ` THEN 0 ELSE 1 END, j.id DESC) AS place
       FROM   processing_jobs j
       JOIN   v ON v.id = j.normalized_event_id
       WHERE  j.destination_id IS NOT NULL) AS ranked
WHERE  place = 1`

// latestJobs returns each event's latest jobs by event id.
func latestJobs(ctx context.Context, tx *database.Tx, ids []string) (map[string][]latest, error) {
	var list []latest
	if err := tx.SelectRows(ctx, &list, database.IDs(ids), selectLatestSQL); err != nil {
		return nil, fmt.Errorf("look up latest jobs: %w", err)
	}
	byEvent := make(map[string][]latest, len(ids))
	for _, j := range list {
		byEvent[j.EventID] = append(byEvent[j.EventID], j)
	}
	return byEvent, nil
}

// deriveAndSave sets the status of locked events from their jobs.
func (m *Module) deriveAndSave(ctx context.Context, tx *database.Tx, states []contract.EventState) error {
	ids := make([]string, len(states))
	for i, s := range states {
		ids[i] = s.EventID
	}
	jobs, err := latestJobs(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i := range states {
		states[i].Status, states[i].UpdatedAt = derive(jobs[states[i].EventID]), tx.Now
	}
	return m.events.SaveStates(ctx, tx, states)
}
