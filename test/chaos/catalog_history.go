package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// historyScenarios take the database back to an earlier state, while Redis and RabbitMQ
// keep theirs; then the provider sends everything again.
func historyScenarios() []scenario {
	lagging := func(proxied bool) *clusterConfig { return &clusterConfig{standby: true, proxied: proxied} }
	build := func(name, about string, c *clusterConfig, inject func(context.Context, *run) error) scenario {
		return scenario{name: name, about: about + "; providers resend", serves: 3, works: 3, duplicates: true, rewinds: true, cluster: c, inject: inject}
	}
	list := []scenario{
		build("standby-lags-hosts", "an asynchronous standby that is four seconds behind is promoted; both hosts are in the URL",
			lagging(false), laggingPromoted),
		build("standby-lags-proxy", "an asynchronous standby that is four seconds behind is promoted; by a proxy", lagging(true), laggingPromoted),
		build("backup-restored", "a base backup of four seconds ago replaces the database under running processes",
			&clusterConfig{}, func(ctx context.Context, r *run) error { return backupRestored(ctx, r, false) }),
		build("backup-restored-restart", "a base backup of four seconds ago replaces the database, and every process is restarted",
			&clusterConfig{}, func(ctx context.Context, r *run) error { return backupRestored(ctx, r, true) }),
	}
	list[2].short = true
	return list
}

// lag is how far the restored database is behind.
const lag = 4 * time.Second

func laggingPromoted(ctx context.Context, r *run) error {
	r.faultBegan()
	r.nodes.stopReplication()
	if err := sustain(ctx, lag); err != nil {
		return err
	}
	before, err := lastAccepted(ctx, r)
	if err != nil {
		return err
	}
	if _, err := r.nodes.promote(ctx); err != nil {
		return err
	}
	r.nodes.switchProxy()
	r.faultEnded()
	return r.resendAfterRewind(ctx, before)
}

// lastAccepted kills the primary and returns the events accepted until then.
func lastAccepted(ctx context.Context, r *run) ([]string, error) {
	if err := r.nodes.primary.kill(ctx); err != nil {
		return nil, err
	}
	// Responses in flight have arrived by then.
	err := sustain(ctx, time.Second)
	return r.ledger.acceptedNow(), err
}

func backupRestored(ctx context.Context, r *run, restart bool) error {
	r.faultBegan()
	backup := filepath.Join(r.nodes.dir, "backup")
	if err := errors.Join(r.nodes.backup(ctx, backup), sustain(ctx, lag)); err != nil {
		return err
	}
	list := slices.Concat(r.serving, r.working)
	if restart {
		if err := atOnce(list, func(p *process) error { return p.terminate(ctx, syscall.SIGTERM, true) }); err != nil {
			return err
		}
	}
	before, err := lastAccepted(ctx, r)
	if err != nil {
		return err
	}
	if err := r.nodes.restore(ctx, backup); err != nil {
		return err
	}
	if restart {
		if err := atOnce(list, func(p *process) error { return p.resume(ctx) }); err != nil {
			return err
		}
	}
	r.faultEnded()
	return r.resendAfterRewind(ctx, before)
}

// atOnce runs do on several processes at the same time.
func atOnce(list []*process, do func(*process) error) error {
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, p := range list {
		all.Go(func() { errs[i] = do(p) })
	}
	all.Wait()
	return errors.Join(errs...)
}
