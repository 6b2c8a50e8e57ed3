package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"
)

func rabbitmqScenarios() []scenario {
	return []scenario{
		{name: "rabbitmq-stopped", about: "RabbitMQ is stopped cleanly, and started again", accepts: true, inject: stopped(rabbitmq)},
		{name: "rabbitmq-killed", about: "RabbitMQ is killed, and started again", short: true, accepts: true, inject: killedServers(rabbitmq)},
		{name: "rabbitmq-connections-closed", about: "RabbitMQ closes every connection, three times", accepts: true,
			inject: repeatedly(3, time.Second, func(ctx context.Context, r *run) error {
				return r.servers.rabbitmqctl(ctx, "close_all_connections", "chaos")
			})},
		{name: "rabbitmq-queue-deleted", about: "the process queue is deleted under a running worker", accepts: true,
			inject: repeatedly(1, 0, func(ctx context.Context, r *run) error {
				return r.servers.rabbitmqctl(ctx, "delete_queue", r.name+".process")
			})},
		{name: "rabbitmq-backlog-deleted", about: "the process queue is deleted with three seconds' webhooks in it", accepts: true,
			late: true, inject: backlogDeleted},
		{name: "rabbitmq-retries-deleted", about: "the delay queues are deleted, with retries in them", accepts: true,
			env: []string{"RETRY_BASE_DELAY_MS=8000", "RETRY_MAX_DELAY_MS=8000"},
			callback: func() *behaviour {
				return &behaviour{every: 5, answer: status(http.StatusServiceUnavailable, "", "")}
			},
			late: true, maxWait: 20 * time.Second, reason: "a retry is due up to 8 s after its attempt",
			inject: repeatedly(1, 0, deleteDelayQueues)},
		{name: "rabbitmq-memory-alarm", about: "RabbitMQ's memory alarm is raised: it accepts no messages", accepts: true,
			inject: memoryAlarm},
		{name: "cold-start", about: "serve and work start while RabbitMQ and Redis are down", accepts: true, inject: coldStart},
	}
}

func postgresScenarios() []scenario {
	return []scenario{
		{name: "postgres-killed", about: "PostgreSQL is killed, and started again", short: true, refuses: true, duplicates: true,
			inject: killedServers(postgres)},
		{name: "postgres-restarted", about: "PostgreSQL is restarted, fast", duplicates: true, inject: func(ctx context.Context, r *run) error {
			r.faultBegan()
			defer r.faultEnded()
			if err := r.servers.stop(ctx, postgres); err != nil {
				return err
			}
			return r.servers.up(ctx, postgres)
		}},
		{name: "postgres-terminated", about: "PostgreSQL ends every session, ten times in five seconds", inject: repeatedly(10, 500*time.Millisecond,
			func(ctx context.Context, r *run) error {
				_, err := r.servers.sql(ctx, "postgres", fmt.Sprintf(
					"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '%s'", r.database))
				return err
			})},
		{name: "postgres-hung", about: "PostgreSQL hangs for twenty seconds: connections stay open, nothing answers", refuses: true, duplicates: true,
			inject: hung(20*time.Second, postgres)},
		{name: "postgres-hung-overload", about: "the same with a limit of 200 requests: the rest are refused immediately, and memory stays flat", refuses: true, duplicates: true,
			env: []string{"MAX_INFLIGHT_REQUESTS=200"}, memory: 150 << 20, inject: hung(20*time.Second, postgres)},
		{name: "postgres-stalled", about: "PostgreSQL hangs for twelve seconds while three workers deliver a backlog", refuses: true, duplicates: true,
			serves: 3, works: 3, processingTime: always(250 * time.Millisecond), inject: stalled},
		{name: "postgres-read-only", about: "PostgreSQL accepts no writes for ten seconds", refuses: true, duplicates: true,
			serves: 3, works: 3, inject: readOnly},
	}
}

func redisScenarios() []scenario {
	return []scenario{
		{name: "redis-killed", about: "Redis is killed, and started again", accepts: true, inject: killedServers(redis)},
		{name: "redis-flushed", about: "Redis loses all its data, ten times in two seconds", accepts: true,
			inject: repeatedly(10, 200*time.Millisecond, flush)},
		{name: "redis-hung", about: "Redis hangs for eight seconds: connections stay open, nothing answers", accepts: true,
			inject: hung(8*time.Second, redis)},
		{name: "all-away", about: "PostgreSQL, RabbitMQ and Redis are killed at once, and started again", short: true, refuses: true, duplicates: true,
			inject: killedServers(everyServer...)},
	}
}

// awayFor is how long a server is down before it is started again.
const awayFor = 4 * time.Second

func stopped(list ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		if err := errors.Join(r.servers.stop(ctx, list...), sustain(ctx, awayFor)); err != nil {
			return err
		}
		return r.servers.up(ctx, list...)
	}
}

func killedServers(list ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		if err := errors.Join(r.servers.kill(ctx, list...), sustain(ctx, awayFor)); err != nil {
			return err
		}
		return r.servers.up(ctx, list...)
	}
}

// hung stops a server's processes with SIGSTOP.
func hung(d time.Duration, server string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		r.servers.signal(syscall.SIGSTOP, server)
		defer r.servers.signal(syscall.SIGCONT, server)
		return sustain(ctx, d)
	}
}

func repeatedly(times int, pause time.Duration, do func(context.Context, *run) error) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		defer r.faultEnded()
		for range times {
			if err := errors.Join(do(ctx, r), sustain(ctx, pause)); err != nil {
				return err
			}
		}
		return nil
	}
}

// backlogDeleted lets the process queue fill while no worker runs, and deletes it.
func backlogDeleted(ctx context.Context, r *run) error {
	w := r.working[0]
	r.faultBegan()
	defer r.faultEnded()
	if err := w.terminate(ctx, syscall.SIGTERM, true); err != nil {
		return err
	}
	if err := sustain(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := r.servers.rabbitmqctl(ctx, "delete_queue", r.name+".process"); err != nil {
		return err
	}
	return w.resume(ctx)
}

// deleteDelayQueues deletes all delay queues.
func deleteDelayQueues(ctx context.Context, r *run) error {
	return r.servers.rabbitmqctl(ctx, "eval", fmt.Sprintf(
		`[rabbit_amqqueue:delete(Q, false, false, <<"chaos">>) || Q <- rabbit_amqqueue:list(), `+
			`lists:prefix("%s.retry.", binary_to_list(element(4, amqqueue:get_name(Q))))].`, r.name))
}

func memoryAlarm(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	err := r.servers.rabbitmqctl(ctx, "set_vm_memory_high_watermark", "absolute", "1MB")
	if err == nil {
		err = sustain(ctx, 5*time.Second)
	}
	return errors.Join(err, r.servers.rabbitmqctl(context.WithoutCancel(ctx), "set_vm_memory_high_watermark", "0.4"))
}

// coldStart restarts the gateway while only PostgreSQL answers.
func coldStart(ctx context.Context, r *run) error {
	list := slices.Concat(r.serving, r.working)
	for _, p := range list {
		if err := p.terminate(ctx, syscall.SIGTERM, true); err != nil {
			return err
		}
	}
	if err := r.servers.stop(ctx, rabbitmq, redis); err != nil {
		return err
	}
	for _, p := range list {
		if err := p.resume(ctx); err != nil {
			return err
		}
	}
	r.faultBegan()
	defer r.faultEnded()
	if err := sustain(ctx, awayFor); err != nil {
		return err
	}
	return r.servers.up(ctx, rabbitmq, redis)
}

func flush(ctx context.Context, r *run) error { return r.servers.redis(ctx, "FLUSHALL") }
