package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// spoolScenarios take PostgreSQL away while webhooks that cannot be stored go to RabbitMQ. Where the
// sender never repeats, every webhook must be accepted at once.
func spoolScenarios() []scenario {
	return []scenario{
		{name: "spool-postgres-killed", about: "PostgreSQL is killed for half a minute, and no sender repeats", short: true, spools: true, once: true,
			accepts: true, duplicates: true, inject: awayWhile(func(ctx context.Context, _ *run) error { return sustain(ctx, spoolFor) })},
		{name: "spool-postgres-killed-long", about: "PostgreSQL is killed for two minutes, and no sender repeats", spools: true, once: true,
			accepts: true, duplicates: true, inject: awayWhile(func(ctx context.Context, _ *run) error { return sustain(ctx, 2*time.Minute) })},
		{name: "spool-postgres-and-redis-killed", about: "PostgreSQL and Redis are killed for half a minute, and no sender repeats", spools: true, once: true,
			accepts: true, duplicates: true, inject: awayWhile(func(ctx context.Context, r *run) error {
				if err := errors.Join(r.servers.kill(ctx, redis), sustain(ctx, spoolFor)); err != nil {
					return err
				}
				return r.servers.up(ctx, redis)
			})},
		{name: "spool-postgres-hung", about: "PostgreSQL hangs for twenty seconds with commits in doubt, and no sender repeats", spools: true, once: true,
			accepts: true, duplicates: true, inject: hung(20*time.Second, postgres)},
		{name: "spool-postgres-terminated", about: "PostgreSQL ends every session, ten times in five seconds, and no sender repeats", spools: true, once: true,
			accepts: true, duplicates: true, inject: repeatedly(10, 500*time.Millisecond, func(ctx context.Context, r *run) error {
				_, err := r.servers.sql(ctx, "postgres", fmt.Sprintf(
					"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '%s'", r.database))
				return err
			})},
		{name: "spool-postgres-read-only", about: "PostgreSQL accepts no writes for ten seconds, and no sender repeats", spools: true, once: true,
			serves: 3, works: 3, accepts: true, duplicates: true, inject: readOnlyFor(10 * time.Second)},
		{name: "spool-serve-killed", about: "one of two serve processes is killed while PostgreSQL is away, and no sender repeats what was answered",
			serves: 2, spools: true, once: true, aliases: true, duplicates: true, inject: awayWhile(func(ctx context.Context, r *run) error {
				half := spoolFor / 2
				if err := sustain(ctx, half); err != nil {
					return err
				}
				return errors.Join(r.serving[0].terminate(ctx, syscall.SIGKILL, true), sustain(ctx, half))
			})},
		{name: "spool-rabbitmq-restarted", about: "RabbitMQ is killed, and started again, while PostgreSQL is away", spools: true, aliases: true, duplicates: true,
			inject: awayWhile(func(ctx context.Context, r *run) error {
				if err := errors.Join(sustain(ctx, spoolFor/3), r.servers.kill(ctx, rabbitmq), sustain(ctx, awayFor), r.servers.up(ctx, rabbitmq)); err != nil {
					return err
				}
				return sustain(ctx, spoolFor/3)
			})},
	}
}

// readOnlyFor makes PostgreSQL refuse writes, also on existing connections.
func readOnlyFor(d time.Duration) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		return errors.Join(r.reconfigure(ctx, "ALTER SYSTEM SET default_transaction_read_only = on"), sustain(ctx, d),
			r.reconfigure(context.WithoutCancel(ctx), "ALTER SYSTEM RESET default_transaction_read_only"))
	}
}

// spoolFor is how long PostgreSQL is away.
const spoolFor = 30 * time.Second

// awayWhile kills PostgreSQL, and starts it again after do.
func awayWhile(do func(context.Context, *run) error) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		if err := errors.Join(r.servers.kill(ctx, postgres), do(ctx, r)); err != nil {
			return err
		}
		return r.servers.up(ctx, postgres)
	}
}
