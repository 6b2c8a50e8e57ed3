package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// upgradeScenarios replace the oldest program, on its schema, by this one.
func upgradeScenarios() []scenario {
	return []scenario{
		{name: "upgrade", about: "the first schema's program runs; `migrate up` by this one while it works, then each process is replaced",
			serves: 2, works: 2, target: ofProcess, upgrades: true, no5xx: true, inject: upgraded},
		{name: "upgrade-rolled-back", about: "the same, then each process goes back to the old program, and the schema to its version",
			serves: 2, works: 2, target: ofProcess, upgrades: true, no5xx: true, inject: rolledBack},
		{name: "embedded-upgrade", about: "dev of the first schema's program is replaced by this one on its data folder",
			embedded: true, target: ofProcess, upgrades: true, inject: upgradedEmbedded},
	}
}

// besideFor is how long programs of both versions run beside each other, in each combination.
const besideFor = 2 * time.Second

func upgraded(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	return r.upgrade(ctx)
}

// upgrade migrates while the old program works, and then replaces one process after the other,
// in the order of docs/deployment.md.
func (r *run) upgrade(ctx context.Context) error {
	old := r.program
	before, err := r.schemaVersion(ctx)
	if err != nil {
		return err
	}
	r.program = r.gateway
	if _, err := r.command(ctx, nil, "migrate", "up"); err != nil {
		return err
	}
	if after, err := r.schemaVersion(ctx); err != nil || before != 1 || after <= before {
		return fmt.Errorf("the schema went from version %d to %d, not upwards from 1 (%w)", before, after, err)
	}
	if err := sustain(ctx, besideFor); err != nil {
		return err
	}
	all := slices.Concat(r.working, r.serving)
	for _, p := range all {
		if err := p.ready(ctx, "/readyz"); err != nil {
			return fmt.Errorf("%s on the new schema: %w", old, err)
		}
	}
	return r.replaceEach(ctx, all)
}

// replaceEach replaces processes by r.program, one after the other.
func (r *run) replaceEach(ctx context.Context, list []*process) error {
	for _, p := range list {
		if err := errors.Join(p.replace(ctx, r.program), sustain(ctx, besideFor/4)); err != nil {
			return err
		}
	}
	return nil
}

// rolledBack upgrades, and goes back in the opposite order: processes first, the schema last.
func rolledBack(ctx context.Context, r *run) error {
	old := r.program
	r.faultBegan()
	defer r.faultEnded()
	if err := errors.Join(r.upgrade(ctx), sustain(ctx, besideFor)); err != nil {
		return err
	}
	version, err := r.schemaVersion(ctx)
	if err != nil {
		return err
	}
	r.program = old
	if err := r.replaceEach(ctx, slices.Concat(r.serving, r.working)); err != nil {
		return err
	}
	r.program = r.gateway
	_, err = r.command(ctx, nil, "migrate", "down", "--steps", strconv.Itoa(version-1), "--yes")
	r.program = old
	return errors.Join(err, sustain(ctx, besideFor))
}

func (r *run) schemaVersion(ctx context.Context) (int, error) {
	said, err := r.sql(ctx, "SELECT version FROM schema_migrations")
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(said)
	if err != nil {
		return 0, fmt.Errorf("the schema's version: %w", err)
	}
	return version, nil
}

func upgradedEmbedded(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	r.program = r.gateway
	return r.serving[0].replace(ctx, r.program)
}

// replace ends the process, and starts another program in its place.
func (p *process) replace(ctx context.Context, program string) error {
	if err := p.terminate(ctx, syscall.SIGTERM, true); err != nil {
		return err
	}
	<-p.gone
	p.mu.Lock()
	p.binary = program
	p.mu.Unlock()
	return p.resume(ctx)
}
