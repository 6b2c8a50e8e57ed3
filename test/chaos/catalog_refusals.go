package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"integration-gateway/platform/clock"
)

// refusalScenarios make Redis answer and refuse every write.
func refusalScenarios() []scenario {
	build := func(name, about string, refuse, restore []string) scenario {
		return scenario{name: name, about: about, serves: 3, works: 3, accepts: true, inject: refused(refuse, restore), check: checkRedisLog}
	}
	return []scenario{
		build("redis-full", "Redis has no memory left for ten seconds: it answers OOM to every write",
			[]string{"CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1"}, []string{"CONFIG SET maxmemory 0"}),
		build("redis-read-only", "Redis is a replica for ten seconds: it answers READONLY to every write",
			[]string{"REPLICAOF 127.0.0.1 1"}, []string{"REPLICAOF NO ONE"}),
	}
}

const (
	refusedFor    = 10 * time.Second
	noticedIn     = 3 * time.Second // by readiness and health
	askedEvery    = 200 * time.Millisecond
	redisDownLine = "redis is not responding"
	redisUpLine   = "redis is responding again"
)

func refused(refuse, restore []string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		var errs []error
		for _, command := range refuse {
			errs = append(errs, r.servers.redis(ctx, command))
		}
		errs = append(errs, r.watched(ctx, "reports that Redis is healthy", func() bool {
			return health(ctx, r.api(), redis) != "error"
		}))
		for _, command := range restore {
			errs = append(errs, r.servers.redis(context.WithoutCancel(ctx), command))
		}
		return errors.Join(errs...)
	}
}

// watched checks during a refusal whether the gateway still reports the wrong state, which
// it may for a moment.
func (r *run) watched(ctx context.Context, complaint string, wrong func() bool) error {
	began := clock.System()
	asked, times := 0, 0
	for clock.Now(clock.System).Since(began) < refusedFor {
		if clock.Now(clock.System).Since(began) > noticedIn {
			asked++
			if wrong() {
				times++
			}
		}
		if err := sustain(ctx, askedEvery); err != nil {
			return err
		}
	}
	if times > 0 {
		r.fault("it %s in %d of %d answers from %v on", complaint, times, asked, noticedIn)
	}
	return nil
}

// checkRedisLog requires that each process logged once that Redis went down, and once that
// it recovered.
func checkRedisLog(r *run) {
	away := 0
	for _, p := range slices.Concat(r.serving, r.working) {
		text, _ := os.ReadFile(filepath.Join(p.dir, p.name+".log"))
		went, came := strings.Count(string(text), redisDownLine), strings.Count(string(text), redisUpLine)
		away += went
		if went > 1 || came > 1 {
			r.fault("%s logged %d times that Redis went down, and %d times that it recovered", p.name, went, came)
		}
	}
	if away == 0 {
		r.fault("no process logged that Redis was down")
	}
}

// health returns the state of a server according to a process.
func health(ctx context.Context, p *process, server string) string {
	var got struct {
		Data struct {
			Checks map[string]struct {
				Status string `json:"status"`
			} `json:"checks"`
		} `json:"data"`
	}
	res, err := ask(ctx, p.url+"/api/v1/health")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		return err.Error()
	}
	return got.Data.Checks[server].Status
}

func ask(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	return res, nil
}

// readOnly makes PostgreSQL refuse writes, also on existing connections.
func readOnly(ctx context.Context, r *run) error {
	list := slices.Concat(r.serving, r.working)
	r.faultBegan()
	defer r.faultEnded()
	err := r.reconfigure(ctx, "ALTER SYSTEM SET default_transaction_read_only = on")
	if err == nil {
		err = r.watched(ctx, "reports that it is ready", func() bool {
			return slices.ContainsFunc(list, func(p *process) bool {
				res, err := ask(ctx, p.url+"/readyz")
				if err != nil {
					return false
				}
				_ = res.Body.Close()
				return res.StatusCode == http.StatusOK
			})
		})
	}
	return errors.Join(err, r.reconfigure(context.WithoutCancel(ctx), "ALTER SYSTEM RESET default_transaction_read_only"))
}

func (r *run) reconfigure(ctx context.Context, statement string) error {
	for _, s := range []string{statement, "SELECT pg_reload_conf()"} {
		if _, err := r.servers.sql(ctx, "postgres", s); err != nil {
			return err
		}
	}
	return nil
}

// backlog is how long webhooks accumulate before the workers start.
const backlog = 15 * time.Second

// stalled stops PostgreSQL's processes as soon as the workers have begun to deliver a
// backlog.
func stalled(ctx context.Context, r *run) error {
	if err := atOnce(r.working, func(p *process) error { return p.terminate(ctx, syscall.SIGTERM, true) }); err != nil {
		return err
	}
	if err := sustain(ctx, backlog); err != nil {
		return err
	}
	delivered := r.ledger.tally(time.Time{}, time.Time{}).delivered
	up := make(chan error, 1)
	go func() { up <- atOnce(r.working, func(p *process) error { return p.resume(ctx) }) }()
	err := until(ctx, 10*time.Millisecond, func() bool {
		return r.ledger.tally(time.Time{}, time.Time{}).delivered > delivered+50
	})
	waiting := len(r.ledger.tally(time.Time{}, time.Time{}).lost)
	r.say("    %d events are waiting", waiting)
	if err == nil {
		err = hung(12*time.Second, postgres)(ctx, r)
	}
	return errors.Join(err, <-up)
}
