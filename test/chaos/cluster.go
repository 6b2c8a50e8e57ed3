package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// clusterConfig describes the PostgreSQL that a scenario has of its own.
type clusterConfig struct {
	standby     bool // with a standby of the primary
	synchronous bool // commits wait for it
	connections int  // max_connections; 0 for more than enough
	proxied     bool // the gateway connects through a proxy to the primary; otherwise its URL names every node
}

// cluster is a primary and its standby, if it has one.
type cluster struct {
	clusterConfig
	postgres         installation
	dir              string
	nodes            []*node
	primary, standby *node
	gatewayProxy     *switchingProxy // leads the gateway to the primary
	replicationProxy *switchingProxy // leads the standby to the primary
}

// startCluster makes a cluster in dir and returns when its standby is replicating.
func startCluster(ctx context.Context, dir string, shape clusterConfig, p *ports) (*cluster, error) {
	installed, err := findPostgres()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user below it
		return nil, fmt.Errorf("create the cluster's folder: %w", err)
	}
	c := &cluster{clusterConfig: shape, postgres: installed, dir: dir}
	c.primary = c.node("first", p.next())
	if err := c.start(ctx, p); err != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(err, c.remove(bounded, false))
	}
	return c, nil
}

func (c *cluster) node(name string, port int) *node {
	n := &node{postgres: c.postgres, port: port, connections: cmp.Or(c.connections, 300), data: filepath.Join(c.dir, name), log: filepath.Join(c.dir, name+".log")}
	c.nodes = append(c.nodes, n)
	return n
}

func (c *cluster) start(ctx context.Context, p *ports) error {
	first := c.primary
	if err := c.postgres.folder(first.data); err != nil {
		return err
	}
	if err := c.postgres.run(ctx, c.dir, "initdb", "--pgdata="+first.data, "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
		return err
	}
	if err := first.start(ctx); err != nil {
		return err
	}
	var err error
	if c.gatewayProxy, err = newSwitchingProxy(first.address()); err != nil {
		return err
	}
	if c.replicationProxy, err = newSwitchingProxy(first.address()); err != nil {
		return err
	}
	if !c.clusterConfig.standby {
		return nil
	}
	c.standby = c.node("second", p.next())
	return c.createStandby(ctx)
}

// createStandby makes the standby from a base backup and waits until it is replicating.
func (c *cluster) createStandby(ctx context.Context) error {
	host, port, _ := strings.Cut(c.replicationProxy.address(), ":")
	from := fmt.Sprintf("host=%s port=%s user=postgres application_name=standby", host, port)
	if err := c.backup(ctx, c.standby.data, "--write-recovery-conf", "--dbname="+from); err != nil {
		return err
	}
	if err := c.standby.start(ctx); err != nil {
		return err
	}
	state := "streaming"
	if c.synchronous {
		// After the backup, so that the standby does not wait for a standby of its own when it is promoted.
		state = "sync"
		for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"} {
			if _, err := c.primary.sql(ctx, "postgres", statement); err != nil {
				return err
			}
		}
	}
	late, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("the standby does not replicate the primary"))
	defer cancel()
	return until(late, 50*time.Millisecond, func() bool {
		said, err := c.primary.sql(late, "postgres", "SELECT state, sync_state FROM pg_stat_replication")
		return err == nil && strings.Contains(said, "streaming") && strings.Contains(said, state)
	})
}

// backup takes a base backup of the running primary into an empty folder.
func (c *cluster) backup(ctx context.Context, into string, args ...string) error {
	if err := c.postgres.folder(into); err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--dbname=" + fmt.Sprintf("host=127.0.0.1 port=%d user=postgres", c.primary.port)}
	}
	return c.postgres.run(ctx, c.dir, "pg_basebackup", append([]string{"--pgdata=" + into, "--wal-method=stream",
		"--checkpoint=fast", "--no-sync"}, args...)...)
}

// restore kills the primary, replaces its data by a base backup, and starts it.
func (c *cluster) restore(ctx context.Context, backup string) error {
	if err := c.primary.kill(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(c.primary.data); err != nil {
		return fmt.Errorf("remove the database: %w", err)
	}
	if err := os.Rename(backup, c.primary.data); err != nil {
		return fmt.Errorf("restore the backup: %w", err)
	}
	return c.primary.start(ctx)
}

// stopReplication makes the standby lag from now on. Pausing its replay would not be
// enough: a promotion replays everything received.
func (c *cluster) stopReplication() { c.replicationProxy.close() }

// promote makes the standby the primary and returns when it accepts writes.
func (c *cluster) promote(ctx context.Context) (old *node, err error) {
	if _, err := c.standby.sql(ctx, "postgres", "SELECT pg_promote(true, 30)"); err != nil {
		return nil, err
	}
	late, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("the promoted standby accepts no writes"))
	defer cancel()
	if err := until(late, 10*time.Millisecond, func() bool { return c.standby.writable(late) }); err != nil {
		return nil, err
	}
	old, c.primary, c.standby = c.primary, c.standby, nil
	return old, nil
}

// switchProxy points the proxy to the primary and closes its clients' connections, like
// haproxy with on-marked-down shutdown-sessions.
func (c *cluster) switchProxy() {
	c.gatewayProxy.switchTo(c.primary.address())
	c.gatewayProxy.closeConns()
}

// url is the gateway's URL of a database in the cluster.
func (c *cluster) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: "sslmode=disable"}
	switch {
	case c.proxied:
		u.Host = c.gatewayProxy.address()
	case c.standby != nil:
		u.Host = c.primary.address() + "," + c.standby.address() // libpq's form
		u.RawQuery += "&target_session_attrs=read-write"
	default:
		u.Host = c.primary.address()
	}
	return u.String()
}

// remove stops the cluster and deletes its data, unless they are to be kept. Its logs stay.
func (c *cluster) remove(ctx context.Context, keep bool) error {
	var errs []error
	for _, p := range []*switchingProxy{c.gatewayProxy, c.replicationProxy} {
		if p != nil {
			p.close()
		}
	}
	for _, n := range c.nodes {
		n.signal(syscall.SIGCONT)
		errs = append(errs, n.kill(ctx))
		if !keep {
			errs = append(errs, os.RemoveAll(n.data))
		}
	}
	return errors.Join(errs...)
}
