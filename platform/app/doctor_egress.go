package app

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"integration-gateway/platform/app/doctor"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
)

// mostDestinations limits the destinations whose hosts are resolved, and resolving how many
// are resolved at once.
const (
	mostDestinations = 1000
	resolving        = 16
)

const selectDestinationsSQL = `
SELECT d.id, i.source, d.url
FROM   destinations d
JOIN   integrations i ON i.id = d.integration_id
WHERE  d.is_active AND d.archived_at IS NULL AND i.is_active
ORDER  BY d.id
LIMIT  $1`

func (x *examination) egress(ctx context.Context) []doctor.Finding {
	proxy, err := egressProxy(x.cfg)
	if err != nil {
		return []doctor.Finding{{Status: doctor.Fail, Text: err.Error(), Fix: "correct it"}}
	}
	client := egress.New(egress.Config{Allow: x.cfg.EgressAllow, Deny: x.cfg.EgressDeny, Proxy: proxy})
	defer client.Close()
	var rows []struct {
		doctor.Destination
		URL string `db:"url"`
	}
	if err := x.database().Select(ctx, &rows, selectDestinationsSQL, mostDestinations+1); err != nil {
		return doctor.Unread(fmt.Errorf("read the destinations: %w", err))
	}
	more := len(rows) > mostDestinations
	rows = rows[:min(len(rows), mostDestinations)]
	all := make([]doctor.Destination, len(rows))
	slots := make(chan struct{}, resolving)
	var resolved sync.WaitGroup
	for i, r := range rows {
		slots <- struct{}{}
		resolved.Go(func() {
			defer func() { <-slots }()
			all[i] = r.Destination
			if u, err := url.Parse(r.URL); err == nil {
				all[i].Host = u.Hostname()
			}
			_, all[i].Err = client.Resolve(ctx, r.URL)
		})
	}
	proxyErr := client.CheckProxy(ctx)
	resolved.Wait()
	return doctor.Egress(x.rules(), proxyErr, all, more)
}

// rules says where deliveries may go.
func (x *examination) rules() string {
	allowed, denied, proxied := "", "", ""
	for _, s := range x.cfg.Settings {
		switch {
		case s.Value == "":
		case s.Name == "EGRESS_ALLOW":
			allowed = " and " + s.Value
		case s.Name == "EGRESS_DENY":
			denied = ", except " + s.Value
		case s.Name == "EGRESS_PROXY":
			proxied = ", through " + s.Value
		}
	}
	return "deliveries may go to public addresses" + allowed + denied + proxied
}

// aliveFor is how old the last heartbeat of a process may be that runs.
const aliveFor = 15 * time.Second

const selectRunningSQL = `
SELECT role, version, host, clock_ahead_ms, id
FROM   processes
WHERE  stopped_at IS NULL AND seen_at > $1
ORDER  BY id
LIMIT  1000`

func (x *examination) running(ctx context.Context, db *database.DB) (all []doctor.Process, err error) {
	if _, err := db.SyncClock(ctx); err != nil {
		return nil, err
	}
	if err := db.Select(ctx, &all, selectRunningSQL, db.Now().Add(-aliveFor)); err != nil {
		return nil, fmt.Errorf("read the processes: %w", err)
	}
	return all, nil
}

func (x *examination) processes(ctx context.Context) []doctor.Finding {
	all, err := x.running(ctx, x.database())
	if err != nil {
		return doctor.Unread(err)
	}
	return doctor.Processes(all, x.cfg.Version)
}
