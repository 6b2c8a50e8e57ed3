package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"
)

func rabbitmqScenarios() []scenario {
	return []scenario{
		{name: "rabbitmq-stopped", about: "RabbitMQ is stopped in order, and started again", accepts: true, inject: stopped(rabbitmq)},
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
		{name: "rabbitmq-rungs-deleted", about: "the queues in which retries wait are deleted, with retries in them", accepts: true,
			env: []string{"RETRY_BASE_DELAY_MS=8000", "RETRY_MAX_DELAY_MS=8000"},
			callback: func() *behaviour {
				return &behaviour{every: 5, answer: status(http.StatusServiceUnavailable, "", "")}
			},
			late: true, inject: repeatedly(1, 0, deleteRungs)},
		{name: "rabbitmq-memory-alarm", about: "RabbitMQ's memory alarm is raised: it takes no messages", accepts: true,
			inject: memoryAlarm},
		{name: "cold-start", about: "serve and work start while RabbitMQ and Redis are away", accepts: true, inject: coldStart},
	}
}

func postgresScenarios() []scenario {
	return []scenario{
		{name: "postgres-killed", about: "PostgreSQL is killed, and started again", short: true, refuses: true, repeats: true,
			inject: killedServers(postgres)},
		{name: "postgres-restarted", about: "PostgreSQL is restarted, fast", repeats: true, inject: func(ctx context.Context, r *run) error {
			r.away()
			defer r.back()
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
		{name: "postgres-hung", about: "PostgreSQL stands still for twenty seconds: connections stand, nothing answers", refuses: true, repeats: true,
			inject: hung(20*time.Second, postgres)},
		{name: "postgres-hung-crowd", about: "the same with room for 200 requests: the rest are refused at once, and memory stays flat", refuses: true, repeats: true,
			env: []string{"MAX_INFLIGHT_REQUESTS=200"}, memory: 150 << 20, inject: hung(20*time.Second, postgres)},
	}
}

func redisScenarios() []scenario {
	return []scenario{
		{name: "redis-killed", about: "Redis is killed, and started again", accepts: true, inject: killedServers(redis)},
		{name: "redis-flushed", about: "Redis loses everything it holds, ten times in two seconds", accepts: true,
			inject: repeatedly(10, 200*time.Millisecond, flush)},
		{name: "redis-hung", about: "Redis stands still for eight seconds: connections stand, nothing answers", accepts: true,
			inject: hung(8*time.Second, redis)},
		{name: "all-away", about: "PostgreSQL, RabbitMQ and Redis are killed at once, and started again", short: true, refuses: true, repeats: true,
			inject: killedServers(everyServer...)},
	}
}

// awayFor is how long a server stays away before it is started again.
const awayFor = 4 * time.Second

func stopped(list ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.away()
		defer r.back()
		if err := errors.Join(r.servers.stop(ctx, list...), lasting(ctx, awayFor)); err != nil {
			return err
		}
		return r.servers.up(ctx, list...)
	}
}

func killedServers(list ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.away()
		defer r.back()
		if err := errors.Join(r.servers.kill(ctx, list...), lasting(ctx, awayFor)); err != nil {
			return err
		}
		return r.servers.up(ctx, list...)
	}
}

// hung stops a server's processes where they stand.
func hung(d time.Duration, server string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.away()
		defer r.back()
		r.servers.signal(syscall.SIGSTOP, server)
		defer r.servers.signal(syscall.SIGCONT, server)
		return lasting(ctx, d)
	}
}

func repeatedly(times int, pause time.Duration, do func(context.Context, *run) error) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.away()
		defer r.back()
		for range times {
			if err := errors.Join(do(ctx, r), lasting(ctx, pause)); err != nil {
				return err
			}
		}
		return nil
	}
}

// backlogDeleted lets the process queue fill while no worker runs, and deletes it.
func backlogDeleted(ctx context.Context, r *run) error {
	w := r.working[0]
	r.away()
	defer r.back()
	if err := w.end(ctx, syscall.SIGTERM, true); err != nil {
		return err
	}
	if err := lasting(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := r.servers.rabbitmqctl(ctx, "delete_queue", r.name+".process"); err != nil {
		return err
	}
	return w.up(ctx)
}

// deleteRungs deletes every queue of the retry ladder.
func deleteRungs(ctx context.Context, r *run) error {
	return r.servers.rabbitmqctl(ctx, "eval", fmt.Sprintf(
		`[rabbit_amqqueue:delete(Q, false, false, <<"chaos">>) || Q <- rabbit_amqqueue:list(), `+
			`lists:prefix("%s.retry.", binary_to_list(element(4, amqqueue:get_name(Q))))].`, r.name))
}

func memoryAlarm(ctx context.Context, r *run) error {
	r.away()
	defer r.back()
	err := r.servers.rabbitmqctl(ctx, "set_vm_memory_high_watermark", "absolute", "1MB")
	if err == nil {
		err = lasting(ctx, 5*time.Second)
	}
	return errors.Join(err, r.servers.rabbitmqctl(context.WithoutCancel(ctx), "set_vm_memory_high_watermark", "0.4"))
}

// coldStart restarts the gateway while only PostgreSQL answers.
func coldStart(ctx context.Context, r *run) error {
	list := slices.Concat(r.serving, r.working)
	for _, p := range list {
		if err := p.end(ctx, syscall.SIGTERM, true); err != nil {
			return err
		}
	}
	if err := r.servers.stop(ctx, rabbitmq, redis); err != nil {
		return err
	}
	for _, p := range list {
		if err := p.up(ctx); err != nil {
			return err
		}
	}
	r.away()
	defer r.back()
	if err := lasting(ctx, awayFor); err != nil {
		return err
	}
	return r.servers.up(ctx, rabbitmq, redis)
}

func flush(ctx context.Context, r *run) error {
	u, err := url.Parse(r.servers.urls[redis])
	if err != nil {
		return fmt.Errorf("the URL of Redis: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return fmt.Errorf("reach Redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("FLUSHALL\r\n")); err != nil {
		return fmt.Errorf("flush Redis: %w", err)
	}
	answer := make([]byte, 5)
	if _, err := conn.Read(answer); err != nil || string(answer) != "+OK\r\n" {
		return fmt.Errorf("flush Redis: it answered %q (%w)", answer, err)
	}
	return nil
}
