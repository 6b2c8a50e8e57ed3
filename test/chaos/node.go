package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// installation is the newest PostgreSQL on this machine, as scripts/services finds it, and
// the user to run it as.
type installation struct {
	programs string
	as       *syscall.Credential // nil for the suite's own user
}

func findPostgres() (installation, error) {
	var i installation
	newest := 0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, path := range found {
		programs := filepath.Dir(path)
		if release, _ := strconv.Atoi(filepath.Base(filepath.Dir(programs))); release > newest {
			i.programs, newest = programs, release
		}
	}
	if newest == 0 {
		return i, errors.New("no PostgreSQL is installed; install the package postgresql")
	}
	if os.Getuid() != 0 {
		return i, nil
	}
	u, err := user.Lookup("postgres") // PostgreSQL refuses to run as root
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return i, fmt.Errorf("find a user to run PostgreSQL as: %w", err)
		}
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	i.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return i, nil
}

// folder creates an empty folder for data.
func (i installation) folder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return fmt.Errorf("create a folder for data: %w", err)
	}
	if i.as == nil {
		return nil
	}
	if err := os.Chown(path, int(i.as.Uid), int(i.as.Gid)); err != nil {
		return fmt.Errorf("give %s to PostgreSQL's user: %w", path, err)
	}
	return nil
}

// run runs a PostgreSQL program to its end.
func (i installation) run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(i.programs, program), args...) //nolint:gosec // PostgreSQL's own
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: i.as}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, said)
	}
	return nil
}

// node is one PostgreSQL server of a cluster.
type node struct {
	postgres  installation
	data, log string
	port      int
	cmd       *exec.Cmd
	exited    chan struct{}

	connections int // max_connections
}

func (n *node) address() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

// start runs the server and returns when it answers.
func (n *node) start(ctx context.Context) error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of PostgreSQL: %w", err)
	}
	defer func() { _ = log.Close() }()
	//nolint:gosec,noctx // PostgreSQL's own; it ends by signals
	cmd := exec.Command(filepath.Join(n.postgres.programs, "postgres"), "-D", n.data, "-p", strconv.Itoa(n.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", fmt.Sprintf("max_connections=%d", n.connections),
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "wal_keep_size=512MB")
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(n.data), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: n.postgres.as, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	exited := make(chan struct{})
	n.cmd, n.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	late, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("PostgreSQL does not answer; its log is %s", n.log))
	defer cancel()
	err = until(late, 20*time.Millisecond, func() bool {
		_, err := n.sql(late, "postgres", "SELECT 1")
		return err == nil || n.gone()
	})
	if n.gone() {
		return fmt.Errorf("PostgreSQL exited during its start; its log is %s", n.log)
	}
	return err
}

// gone reports whether the server was never started, or has exited.
func (n *node) gone() bool {
	if n.cmd == nil {
		return true
	}
	select {
	case <-n.exited:
		return true
	default:
		return false
	}
}

// signal sends sig to all processes of the server.
func (n *node) signal(sig syscall.Signal) {
	if n.gone() {
		return
	}
	for _, pid := range descendants(n.cmd.Process.Pid) {
		_ = syscall.Kill(pid, sig)
	}
}

// kill kills the server with all its processes, like a power failure.
func (n *node) kill(ctx context.Context) error {
	if n.gone() {
		return nil
	}
	if err := killAll(ctx, descendants(n.cmd.Process.Pid)); err != nil {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	<-n.exited
	return nil
}

// stop stops the server with a fast shutdown, after which its standby has everything.
func (n *node) stop(ctx context.Context) error {
	if err := n.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	select {
	case <-n.exited:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sql runs a statement on a database of the server.
func (n *node) sql(ctx context.Context, database, statement string) (string, error) {
	return psql(ctx, fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable&connect_timeout=5", n.address(), database), statement)
}

// writable reports whether the server accepts writes.
func (n *node) writable(ctx context.Context) bool {
	said, err := n.sql(ctx, "postgres", "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'")
	return err == nil && strings.TrimSpace(said) == "t"
}
