package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// rabbits is a RabbitMQ cluster of three nodes on this machine, with a port mapper of its own.
type rabbits struct {
	dir    string
	mapper *exec.Cmd
	port   int // of the mapper
	nodes  []*rabbit
}

// The programs of Debian's package, without the wrappers that change the user.
const rabbitPrograms = "/usr/lib/rabbitmq/bin"

// A node that is in the minority stops serving clients, which then use another one.
// https://www.rabbitmq.com/docs/partitions
const rabbitConf = "cluster_partition_handling = pause_minority\n"

// startRabbits makes a cluster in dir and returns when its nodes answer.
func startRabbits(ctx context.Context, dir string, p *ports) (*rabbits, error) {
	if _, err := os.Stat(filepath.Join(rabbitPrograms, "rabbitmq-server")); err != nil {
		return nil, errors.New("no RabbitMQ is installed; install the package rabbitmq-server")
	}
	c := &rabbits{dir: dir, port: p.next()}
	for i := range 3 {
		c.nodes = append(c.nodes, &rabbit{cluster: c, name: fmt.Sprintf("chaos%d@localhost", i+1), port: p.next(), dist: p.next()})
	}
	if err := errors.Join(c.folder(), c.form(ctx)); err != nil {
		return nil, errors.Join(err, c.remove(context.WithoutCancel(ctx), true))
	}
	return c, nil
}

func (c *rabbits) folder() error {
	if err := os.MkdirAll(filepath.Join(c.dir, "logs"), 0o700); err != nil {
		return fmt.Errorf("create the folder of RabbitMQ: %w", err)
	}
	cookie := make([]byte, 16)
	_, _ = rand.Read(cookie)
	return errors.Join(
		os.WriteFile(filepath.Join(c.dir, ".erlang.cookie"), []byte(hex.EncodeToString(cookie)), 0o400),
		os.WriteFile(filepath.Join(c.dir, "rabbitmq.conf"), []byte(rabbitConf), 0o600),
		os.WriteFile(filepath.Join(c.dir, "rabbitmq-env.conf"), nil, 0o600),
		os.WriteFile(filepath.Join(c.dir, "enabled_plugins"), []byte("[].\n"), 0o600))
}

// form starts the nodes, and makes the others join the first.
func (c *rabbits) form(ctx context.Context) error {
	c.mapper = exec.Command("epmd", "-port", fmt.Sprint(c.port)) //nolint:gosec,noctx // it is ended by signals
	c.mapper.Env = append(os.Environ(), "ERL_EPMD_ADDRESS=127.0.0.1")
	if err := c.mapper.Start(); err != nil {
		return fmt.Errorf("start the port mapper: %w", err)
	}
	go func() { _ = c.mapper.Wait() }()
	if err := until(ctx, 20*time.Millisecond, func() bool { return listens(c.port) }); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	for _, n := range c.nodes[1:] {
		for _, step := range [][]string{{"stop_app"}, {"join_cluster", c.nodes[0].name}, {"start_app"}} {
			if _, err := n.ctl(ctx, step...); err != nil {
				return err
			}
		}
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// url names all nodes.
func (c *rabbits) url() string {
	hosts := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		hosts[i] = fmt.Sprintf("127.0.0.1:%d", n.port)
	}
	return "amqp://guest:guest@" + strings.Join(hosts, ",") + "/"
}

// leader returns the node that leads a queue, and the others.
func (c *rabbits) leader(ctx context.Context, queue string) (leader *rabbit, others []*rabbit, err error) {
	said, err := c.nodes[0].ctl(ctx, "list_queues", "--silent", "name", "type", "leader")
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.SplitSeq(said, "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != queue || fields[1] != "quorum" {
			continue
		}
		for i, n := range c.nodes {
			if n.name == fields[2] {
				return n, slices.Concat(c.nodes[:i], c.nodes[i+1:]), nil
			}
		}
	}
	return nil, nil, fmt.Errorf("no quorum queue %s has a leader: %s", queue, said)
}

// remove stops the cluster and deletes its data, unless they are to be kept.
func (c *rabbits) remove(ctx context.Context, keep bool) error {
	var errs []error
	for _, n := range c.nodes {
		if n.cmd != nil {
			n.signal(syscall.SIGCONT)
			errs = append(errs, n.kill(ctx))
		}
	}
	if c.mapper != nil && c.mapper.Process != nil {
		errs = append(errs, c.mapper.Process.Kill())
	}
	if !keep {
		errs = append(errs, os.RemoveAll(filepath.Join(c.dir, "mnesia")))
	}
	return errors.Join(errs...)
}
