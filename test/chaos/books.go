package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// audit holds the gateway's own books against the ledger: no event is under way, there
// are as many as were accepted, and `gateway verify` finds nothing.
func (r *run) audit(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	open := map[string]int{}
	var problem error
	err := until(bounded, 200*time.Millisecond, func() bool {
		clear(open)
		for _, status := range []string{"pending", "processing", "retrying"} {
			var n int
			if n, problem = r.total(bounded, "status="+status); problem != nil {
				return false
			}
			if n > 0 {
				open[status] = n
			}
		}
		return len(open) == 0
	})
	if err != nil {
		r.fault("the API does not say that every event has ended: %v %v", open, problem)
	}
	total, err := r.total(ctx, "")
	if err != nil {
		return err
	}
	t := r.ledger.sum(time.Time{}, time.Time{})
	if total-r.base != t.accepted {
		r.fault("%d webhooks were accepted, and the API lists %d events", t.accepted, total-r.base)
	}
	failed, err := r.total(ctx, "status=failed&eventType=order.created")
	if err != nil {
		return err
	}
	if failed != t.refused {
		r.fault("%d events ended as failed, and the receiver refused %d for good", failed, t.refused)
	}
	r.verify(ctx)
	return nil
}

// verify runs `gateway verify`. A database file belongs to one process, so the embedded
// gateway is stopped for it.
func (r *run) verify(ctx context.Context) {
	if !r.verifies {
		return
	}
	var extra []string
	if r.embedded {
		_ = r.supervisor.stop(ctx)
		extra = []string{"DATABASE_URL=sqlite://" + filepath.Join(r.dir, "data", "gateway.db")}
	}
	if said, err := r.command(ctx, extra, "verify"); err != nil {
		r.fault("gateway verify: %v", firstLines(said+err.Error(), 12))
	}
}

// total is the number of events that a query finds.
func (r *run) total(ctx context.Context, query string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.serving[0].url+"/api/v1/events?pageSize=1&"+query, nil)
	if err != nil {
		return 0, fmt.Errorf("ask for events: %w", err)
	}
	req.Header.Set("X-Internal-Api-Key", managementKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask for events: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	var got struct {
		Meta struct {
			Total int `json:"total"`
		} `json:"meta"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask for events: answered %d (%w)", res.StatusCode, err)
	}
	return got.Meta.Total, nil
}
