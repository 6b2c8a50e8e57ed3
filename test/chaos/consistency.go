package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// checkRecords compares the gateway's records with the ledger: no event is open, there are
// as many as were accepted, and `gateway verify` finds nothing.
func (r *run) checkRecords(ctx context.Context) error {
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
	total, estimated, err := r.count(ctx, "")
	if err != nil {
		return err
	}
	t := r.ledger.tally(time.Time{}, time.Time{})
	if total-r.base != t.accepted && !estimated { // then the events in the database are counted
		r.fault("%d webhooks were accepted, and the API lists %d events", t.accepted, total-r.base)
	}
	failed, err := r.total(ctx, "status=failed&eventType=order.created")
	if err != nil {
		return err
	}
	if failed != t.refused {
		r.fault("%d events ended as failed, and the receiver refused %d for good", failed, t.refused)
	}
	if !r.embedded {
		stored, err := r.stored(ctx)
		if err != nil {
			return err
		}
		if r.ledger.repeats, err = r.repeats(ctx); err != nil {
			return err
		}
		r.compareWithStored(stored)
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
	if r.rewinds {
		r.verifyRewound(ctx)
	}
	if said, err := r.command(ctx, extra, "verify"); err != nil {
		r.fault("gateway verify: %v", firstLines(said+err.Error(), 12))
	}
}

// verifyRewound requires `gateway verify` to report what the database lost, and
// acknowledges it.
func (r *run) verifyRewound(ctx context.Context) {
	said, err := r.command(ctx, []string{"LOG_LEVEL=silent"}, "verify", "--json")
	var books struct {
		Checks map[string]struct {
			Found int `json:"found"`
		} `json:"checks"`
	}
	text, _, _ := strings.Cut(said, "\n}\n")
	if problem := json.Unmarshal([]byte(text+"}"), &books); problem != nil {
		r.fault("gateway verify --json: %v: %s", problem, firstLines(said, 3))
		return
	}
	for name, c := range books.Checks {
		switch {
		case name == "database_rewound" && (c.Found == 0 || err == nil):
			r.fault("gateway verify does not report the history that the database lost")
		case name != "database_rewound" && c.Found > 0:
			r.fault("gateway verify: %s: %d", name, c.Found)
		}
	}
	if said, err := r.command(ctx, nil, "verify", "--repair"); err != nil {
		r.fault("gateway verify --repair: %v", firstLines(said+err.Error(), 12))
	}
}

// api returns a process that serves the API.
func (r *run) api() *process {
	for _, p := range r.serving {
		if !p.ended() {
			return p
		}
	}
	return r.serving[0]
}

// total returns the number of events that match a query.
func (r *run) total(ctx context.Context, query string) (int, error) {
	n, _, err := r.count(ctx, query)
	return n, err
}

// count is total; it also says whether that is an estimate, as it is of many.
func (r *run) count(ctx context.Context, query string) (n int, estimated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.api().url+"/api/v1/events?pageSize=1&"+query, nil)
	if err != nil {
		return 0, false, fmt.Errorf("list events: %w", err)
	}
	req.Header.Set("X-Internal-Api-Key", managementKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false, fmt.Errorf("list events: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	var got struct {
		Meta struct {
			Total           int  `json:"total"`
			TotalIsEstimate bool `json:"totalIsEstimate"`
		} `json:"meta"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK {
		return 0, false, fmt.Errorf("list events: status %d (%w)", res.StatusCode, err)
	}
	return got.Meta.Total, got.Meta.TotalIsEstimate, nil
}
