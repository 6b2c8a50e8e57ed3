package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"integration-gateway/modules/processes"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// process is a command that runs until it is stopped. All start and stop in the same order;
// the fields are the differences between serve, work and dev.
type process struct {
	role     string           // as in package processes
	queues   []contract.Queue // queues it delivers from; none if it only serves
	migrates bool             // it migrates the schema by itself
	answers  func(*system) []listener
	prepare  func(context.Context, *system) error // called when it listens, before it accepts anything; nil for nothing
}

// listener is an address that a process serves.
type listener struct {
	*httpapi.Server
	name    string
	setting string // the setting with the address
	hint    string // what to do if another program uses it
}

// allQueues are the queues of a process that does both.
var allQueues = []contract.Queue{contract.ProcessQueue, contract.ReplayQueue}

// run starts the process and runs it until ctx ends.
func (p process) run(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	unlock, err := lockDatabase(cfg)
	if err != nil {
		return err
	}
	defer unlock()
	if p.migrates {
		if err := migrateFile(ctx, cfg, log); err != nil {
			return err
		}
	}
	s, err := p.open(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer s.close(log)
	s.role = p.role
	if s.traces, err = newTraces(cfg, s, log); err != nil {
		return err
	}
	defer flushTraces(s.traces)
	g, err := wire(cfg, s, log)
	if err != nil {
		return err
	}
	if err := g.secrets.CheckKeys(ctx); err != nil {
		return err
	}
	if err := g.refuseDemoSecrets(ctx, cfg); err != nil {
		return err
	}
	if err := g.processes.Register(ctx); err != nil {
		return err
	}
	listeners := append(p.answers(g), g.metricsListener(cfg)...)
	s.standIn()
	if err := listen(ctx, listeners); err != nil {
		return err
	}
	if p.prepare != nil {
		if err := p.prepare(ctx, g); err != nil {
			return err
		}
	}
	if err := g.integrations.KnowSources(ctx); err != nil {
		log.WarnContext(ctx, "reading the sources failed; they are read again on the first webhook", "error", err)
	}
	if err := p.recover(ctx, g, cfg); err != nil {
		return err
	}
	for _, l := range listeners {
		log.InfoContext(ctx, "listening", "for", l.name, "address", l.Addr())
	}
	log.InfoContext(ctx, "running", "role", p.role, "queues", p.queues, "database", g.db.Dialect.Name)
	tuneGC(cfg)
	return run(ctx, log, p.drainDelay(cfg)+cfg.ShutdownGrace, p.stages(g, cfg, listeners)...)
}

// listen opens all addresses or none.
func listen(ctx context.Context, all []listener) error {
	for i, l := range all {
		err := l.Listen(ctx)
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w%s", l.setting, err, l.hint)
		for _, open := range all[:i] {
			err = errors.Join(err, open.Shutdown(ctx))
		}
		return err
	}
	return nil
}

// recover reclaims what an earlier process left, if no other process can have it: in a
// database file that this process has locked.
func (p process) recover(ctx context.Context, g *system, cfg config.Config) error {
	if p.role != processes.RoleBoth || !cfg.Database.SQLite() || !cfg.RabbitMQ.URL.Empty() {
		return nil // a live process may have it; otherwise its leases expire
	}
	return g.delivery.Recover(ctx)
}

// stages are the parts of the process, in the order in which they stop: readiness first, then
// workers, since a destination may be this very process, as in development.
func (p process) stages(g *system, cfg config.Config, listeners []listener) []stage {
	stages := []stage{{{"readiness", draining(listeners, p.drainDelay(cfg))}}}
	if len(p.queues) > 0 {
		stages = append(stages, stage{g.workers(p.queues), g.deadLetters(), g.replays(), g.erasures()}, stage{g.egress()})
	}
	front := stage{{"reload", g.reload}}
	for _, l := range listeners {
		front = append(front, part{l.name, serving(l.Server, drainTime(cfg))})
	}
	return append(append(stages, g.reloadCertificates(front)), g.background()...)
}

// drainDelay is how long the process goes on after it is no longer ready. Nobody sends requests
// to one that only works.
func (p process) drainDelay(cfg config.Config) time.Duration {
	if p.role == processes.RoleWork {
		return 0
	}
	return cfg.DrainDelay
}

// draining runs nothing until its stage stops. Then it makes the listeners answer that they are
// not ready, and waits until load balancers have noticed.
func draining(listeners []listener, delay time.Duration) func(context.Context) error {
	return onStop(func() {
		for _, l := range listeners {
			l.Drain()
		}
		clock.Sleep(context.Background(), delay)
	})
}

func (g *system) workers(queues []contract.Queue) part {
	return part{"work", func(ctx context.Context) error { return g.delivery.Work(ctx, queues) }}
}

// deadLetters empties the dead queue, in every process that works.
func (g *system) deadLetters() part { return part{"dead letters", g.delivery.EmptyDeadQueue} }

// replays asks for the events of bulk replays, in every process that works.
func (g *system) replays() part { return part{"replays", g.replay.Run} }

// erasures carries out erasures, in every process that works.
func (g *system) erasures() part { return part{"erasures", g.erasure.Run} }

// egress counts the requests that the HTTP client refuses, and closes it.
func (g *system) egress() part {
	return part{"egress", func(ctx context.Context) error {
		g.countRefusals(ctx, refusalsEvery)
		g.egressClient.Close()
		return nil
	}}
}

// background is what runs in every process, in the order in which it stops.
func (g *system) background() []stage {
	return []stage{
		{{"ingestion", g.ingestion.Run}, {"keys", g.access.Run}, {"retention", g.retention.Run}, {"audit seals", g.audit.Seal},
			{"gauges", g.gauges.Run}, {"alerts", g.alerts.Run}, {"dependencies", g.checkDependencies}, {"consistency check", g.watch.Watch}},
		{{"relay", g.delivery.Relay}, {"integrations", g.integrations.Run}},
		{{"audit", g.audit.Run}, {"figures", g.figures.Run}},
		{{"processes", g.processes.Run}},
	}
}
