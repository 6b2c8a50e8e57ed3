package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// commandTimeout limits a short-lived command of the gateway.
const commandTimeout = time.Minute

// gatewayEnv is the complete environment of the gateway's processes.
func (r *run) gatewayEnv() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + r.dir,
		"APP_ENV=test", "APP_HOST=127.0.0.1", "LOG_FORMAT=text", "LOG_LEVEL=info",
		"MANAGEMENT_API_KEY=" + managementKey, "SECRETS_KEY=" + secretsKey,
		"WEBHOOK_RATE_LIMIT_PER_MINUTE=0", "WEBHOOK_FAILURE_LIMIT_PER_MINUTE=0",
		"RETRY_BASE_DELAY_MS=200", "RETRY_MAX_DELAY_MS=3000", "MAX_PROCESSING_RETRIES=30", "SHUTDOWN_GRACE_SECONDS=15",
		"METRICS_ADDR=127.0.0.1:0", // many processes on one machine
	}
	if !r.embedded {
		urls := map[string]string{redis: r.servers.urls[redis], rabbitmq: r.servers.urls[rabbitmq]}
		urls[postgres] = r.databaseURL()
		if r.rabbitNodes != nil {
			urls[rabbitmq] = r.rabbitNodes.url()
		}
		if r.proxied {
			for server, direct := range urls {
				urls[server] = r.proxies.via(server, direct)
			}
		}
		env = append(env, "DATABASE_URL="+urls[postgres], "REDIS_URL="+urls[redis], "RABBITMQ_URL="+urls[rabbitmq],
			"RABBITMQ_PROCESS_QUEUE="+r.name+".process", "RABBITMQ_RETRY_QUEUE="+r.name+".retry",
			"RABBITMQ_REPLAY_QUEUE="+r.name+".replay", "RABBITMQ_DEAD_QUEUE="+r.name+".dead")
		if !r.spools { // what must hold without the spool
			env = append(env, "SPOOL=off")
		}
	}
	return append(env, r.env...)
}

// command runs a gateway command to its end.
func (r *run) command(ctx context.Context, extra []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, args...) //nolint:gosec // our own
	cmd.Dir, cmd.Env = r.dir, append(r.gatewayEnv(), extra...)
	out, err := cmd.CombinedOutput()
	_ = os.WriteFile(filepath.Join(r.dir, args[0]+".log"), out, 0o600)
	if err != nil {
		return string(out), fmt.Errorf("gateway %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// databaseURL is the gateway's URL of its database.
func (r *run) databaseURL() string {
	if r.nodes != nil {
		return r.nodes.url(r.database)
	}
	direct, _ := r.servers.database(r.database)
	return direct
}

// sql runs a statement on the gateway's current database.
func (r *run) sql(ctx context.Context, statement string) (string, error) {
	if r.nodes != nil {
		return r.nodes.primary.sql(ctx, r.database, statement)
	}
	return r.servers.sql(ctx, r.database, statement)
}

// createDatabase creates the scenario's database, and the clusters that it has of its own.
func (r *run) createDatabase(ctx context.Context) (err error) {
	r.database = "chaos_" + strings.ReplaceAll(r.name, "-", "_")
	create := "CREATE DATABASE " + r.database
	if r.rabbits {
		if r.rabbitNodes, err = startRabbits(ctx, filepath.Join(r.dir, "rabbitmq"), &r.ports); err != nil {
			return err
		}
	}
	if r.cluster == nil {
		_, err = r.servers.sql(ctx, "postgres", create)
		return err
	}
	r.nodes, err = startCluster(ctx, filepath.Join(r.dir, "cluster"), *r.cluster, &r.ports)
	if err != nil {
		return err
	}
	_, err = r.nodes.primary.sql(ctx, "postgres", create)
	return err
}

// shutdown ends the scenario's processes, and then its proxy and its cluster.
func (r *run) shutdown(ctx context.Context) error {
	err := r.supervisor.stop(ctx)
	if r.edge != nil {
		err = errors.Join(err, r.edge.stop(ctx))
	}
	if r.rabbitNodes != nil {
		err = errors.Join(err, r.rabbitNodes.remove(ctx, r.keep))
	}
	if r.nodes == nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return errors.Join(err, r.nodes.remove(bounded, r.keep))
}
