package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"integration-gateway/modules/processes"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/tlsfiles"
)

// firstPing is how long the database may take to answer before others answer for the process.
const firstPing = 5 * time.Second

// open opens the stores. While the database is away, the process's addresses already answer that it is
// alive and not ready, so that an orchestrator does not kill it again and again. They do until
// standIn of the stores is called.
func (p process) open(ctx context.Context, cfg config.Config, log *slog.Logger) (*stores, error) {
	end := func() {}
	if !cfg.Database.SQLite() {
		var err error
		if end, err = p.standIn(ctx, cfg, log); err != nil {
			return nil, err
		}
	}
	s, err := open(ctx, cfg, log, p.role == processes.RoleBoth)
	if err != nil {
		end()
		return nil, err
	}
	s.standIn = end
	return s, nil
}

// standIn returns as soon as the database answers, or fails in a way that waiting cannot fix. It
// returns a function that stops what answered meanwhile.
func (p process) standIn(ctx context.Context, cfg config.Config, log *slog.Logger) (end func(), err error) {
	db, err := database.Open(database.Config{URL: cfg.Database.URL.Reveal(), MaxConnections: 1}, clock.System)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", databaseSetting(cfg), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ping, cancel := context.WithTimeout(ctx, firstPing)
	err = db.Ping(ping)
	cancel()
	if !fault.Is(err, fault.Unavailable) && !errors.Is(err, context.DeadlineExceeded) {
		return func() {}, nil // open says what is wrong
	}
	all, err := p.standIns(cfg, log)
	if err != nil {
		return nil, err
	}
	if err := listen(ctx, all); err != nil {
		return nil, err
	}
	for _, l := range all {
		go func() {
			if err := l.Serve(); err != nil {
				log.ErrorContext(ctx, "answering while the database is away failed", "for", l.name, "error", err)
			}
		}()
		log.WarnContext(ctx, "the database is away: until it answers, everything gets 503", "for", l.name, "address", l.Addr())
	}
	end = sync.OnceFunc(func() {
		for _, l := range all {
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = l.Shutdown(bounded) // it had nothing but refusals to answer
			cancel()
		}
	})
	if err := db.WaitReady(ctx, log); err != nil {
		end()
		return nil, fmt.Errorf("%s: %w", databaseSetting(cfg), err)
	}
	return end, nil
}

// standIns are listeners on the addresses of the process, except that for metrics.
func (p process) standIns(cfg config.Config, log *slog.Logger) ([]listener, error) {
	d := httpapi.Deps{Log: log, Now: clock.System}
	if p.role == processes.RoleWork {
		if cfg.WorkAddr == "" {
			return nil, nil
		}
		return []listener{{Server: httpapi.StandIn(httpapi.Config{Addr: cfg.WorkAddr}, d, "postgres"), name: "probes", setting: "WORK_HTTP_ADDR"}}, nil
	}
	own := httpConfig(cfg)
	type address struct {
		name, setting, addr string
		files               tlsfiles.Paths
	}
	addresses := []address{{"http", "APP_HOST and APP_PORT", own.Addr, cfg.Listeners.Public}}
	if cfg.ManagementAddr != "" {
		addresses = append(addresses, address{"management", "MANAGEMENT_ADDR", cfg.ManagementAddr, cfg.Listeners.Management})
	}
	var all []listener
	for _, a := range addresses {
		own.Addr, own.TLS = a.addr, nil
		if a.files.Cert != "" {
			files, err := tlsfiles.Open(a.name, a.files, clock.System, log)
			if err != nil {
				return nil, fmt.Errorf("the TLS files of the %s listener: %w", a.name, err)
			}
			own.TLS = files.Config()
		}
		all = append(all, listener{Server: httpapi.StandIn(own, d, "postgres"), name: a.name, setting: a.setting})
	}
	return all, nil
}
