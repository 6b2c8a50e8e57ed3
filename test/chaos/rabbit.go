package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"integration-gateway/platform/clock"
)

// rabbit is one node.
type rabbit struct {
	cluster    *rabbits
	name       string // as Erlang knows it
	port, dist int    // for clients, and for other nodes
	cmd        *exec.Cmd
	exited     chan struct{}
}

// tickTime is how many seconds it takes, by a quarter more or less, until a node that hangs is
// given up by the others. Until then they wait for it with whatever changes their metadata, such
// as which node leads a queue; 60 by default.
// https://www.rabbitmq.com/docs/nettick
const tickTime = "10"

// environment is that of all programs of a node.
func (n *rabbit) environment() []string {
	dir := n.cluster.dir
	return append(os.Environ(), "HOME="+dir, "ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", n.cluster.port),
		"RABBITMQ_NODENAME="+n.name, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", fmt.Sprintf("RABBITMQ_NODE_PORT=%d", n.port),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", n.dist), "RABBITMQ_CONF_ENV_FILE="+filepath.Join(dir, "rabbitmq-env.conf"),
		"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq"), "RABBITMQ_CONFIG_FILES="+filepath.Join(dir, "conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(dir, "advanced"), "RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "enabled_plugins"),
		"RABBITMQ_PID_FILE="+filepath.Join(dir, n.name+".pid"), "RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE="+filepath.Join(dir, "logs"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} net_ticktime "+tickTime)
}

// start runs the node and returns when it answers clients. A node of a cluster that is not the
// last to have run waits for another one.
func (n *rabbit) start(ctx context.Context) error {
	if err := n.launch(); err != nil {
		return err
	}
	return n.ready(ctx)
}

func (n *rabbit) launch() error {
	log, err := os.OpenFile(filepath.Join(n.cluster.dir, "logs", n.name+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", n.name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join(rabbitPrograms, "rabbitmq-server")) //nolint:gosec,noctx // it is ended by signals
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = n.environment(), log, log, n.cluster.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	exited := make(chan struct{})
	n.cmd, n.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	return nil
}

// ready waits until the node answers AMQP: its first frame begins with 01.
func (n *rabbit) ready(ctx context.Context) error {
	late, cancel := context.WithTimeoutCause(ctx, rabbitStartTimeout, fmt.Errorf("%s does not answer; its log is in %s", n.name, n.cluster.dir))
	defer cancel()
	err := until(late, 50*time.Millisecond, func() bool {
		if n.gone() {
			return true
		}
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", n.port), time.Second) //nolint:noctx // on this machine
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(clock.System().Add(time.Second))
		first := make([]byte, 1)
		_, err = conn.Write([]byte("AMQP\x00\x00\x09\x01"))
		if err == nil {
			_, err = conn.Read(first)
		}
		return err == nil && first[0] == 1
	})
	if err == nil && n.gone() {
		return fmt.Errorf("%s exited; its log is in %s", n.name, n.cluster.dir)
	}
	return err
}

// gone reports whether the node has exited.
func (n *rabbit) gone() bool {
	select {
	case <-n.exited:
		return true
	default:
		return false
	}
}

const rabbitStartTimeout = 90 * time.Second

// listens reports whether something accepts connections on a port.
func listens(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second) //nolint:noctx // on this machine
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// ctl runs a command on the node.
func (n *rabbit) ctl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(rabbitPrograms, "rabbitmqctl"), append([]string{"-q", "-n", n.name}, args...)...) //nolint:gosec // our own
	cmd.Env = n.environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s on %s: %w: %s", args[0], n.name, err, out)
	}
	return string(out), nil
}

// kill kills the node with all its processes, like a power failure.
func (n *rabbit) kill(ctx context.Context) error {
	if n.cmd == nil {
		return nil
	}
	if err := killAll(ctx, descendants(n.cmd.Process.Pid)); err != nil {
		return fmt.Errorf("kill %s: %w", n.name, err)
	}
	<-n.exited
	return nil
}

// stop stops the node cleanly.
func (n *rabbit) stop(ctx context.Context) error {
	if _, err := n.ctl(ctx, "stop"); err != nil {
		return err
	}
	select {
	case <-n.exited:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signal sends sig to all processes of the node.
func (n *rabbit) signal(sig syscall.Signal) {
	for _, pid := range descendants(n.cmd.Process.Pid) {
		_ = syscall.Kill(pid, sig)
	}
}

// partition cuts the node from the others: it breaks the connections, and refuses new ones by
// another secret for them. Clients still reach it.
func (n *rabbit) partition(ctx context.Context) error {
	return n.eachPeer(ctx, "erlang:set_cookie('%[1]s', cut), erlang:disconnect_node('%[1]s'), ")
}

// heal lets the node and the others connect again, which they do by themselves.
func (n *rabbit) heal(ctx context.Context) error {
	return n.eachPeer(ctx, "erlang:set_cookie('%[1]s', erlang:get_cookie()), ")
}

func (n *rabbit) eachPeer(ctx context.Context, expression string) error {
	var all strings.Builder
	for _, peer := range n.cluster.nodes {
		if peer != n {
			fmt.Fprintf(&all, expression, peer.name)
		}
	}
	_, err := n.ctl(ctx, "eval", all.String()+"ok.")
	return err
}
