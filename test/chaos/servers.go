package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// servers are the suite's own PostgreSQL, RabbitMQ and Redis, run by scripts/services.
type servers struct {
	root, dir string
	urls      map[string]string // by server
}

const (
	postgres = "postgres"
	rabbitmq = "rabbitmq"
	redis    = "redis"
)

var everyServer = []string{postgres, rabbitmq, redis}

func startServers(ctx context.Context, root, dir string) (*servers, error) {
	s := &servers{root: root, dir: dir, urls: map[string]string{}}
	said, err := s.services(ctx, "up")
	if err != nil {
		return nil, errors.Join(err, s.down())
	}
	for line := range strings.SplitSeq(said, "\n") {
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if ok {
			s.urls[map[string]string{"TEST_DATABASE_URL": postgres, "TEST_RABBITMQ_URL": rabbitmq, "TEST_REDIS_URL": redis}[name]] =
				strings.Trim(value, "'")
		}
	}
	for _, server := range everyServer {
		if s.urls[server] == "" || s.pid(server) == 0 {
			return nil, errors.Join(fmt.Errorf("%s does not run as a process of this machine", server), s.down())
		}
	}
	return s, nil
}

func (s *servers) services(ctx context.Context, args ...string) (string, error) {
	args = append(args, "--dir", s.dir)
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "scripts", "services"), args...) //nolint:gosec // our own
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/services %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return string(out), nil
}

func (s *servers) down() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.signal(syscall.SIGCONT)
	_, err := s.services(ctx, "down")
	return err
}

// up restarts a server, and returns when it answers.
func (s *servers) up(ctx context.Context, list ...string) error {
	_, err := s.services(ctx, "up", "--only", strings.Join(list, ","))
	return err
}

// stop stops servers cleanly: PostgreSQL with a fast shutdown.
func (s *servers) stop(ctx context.Context, list ...string) error {
	_, err := s.services(ctx, "stop", "--only", strings.Join(list, ","))
	return err
}

// kill kills servers with all their processes, like a power failure.
func (s *servers) kill(ctx context.Context, list ...string) error {
	for _, server := range list {
		pids := s.processTree(server)
		// scripts/services starts another port mapper with RabbitMQ, and forgets this one.
		if mapper := s.readPID(server, "epmd.pid"); mapper > 0 {
			pids = append(pids, mapper)
		}
		if err := killAll(ctx, pids); err != nil {
			return fmt.Errorf("kill %s: %w", server, err)
		}
	}
	return nil
}

// killAll kills processes and returns when they have exited.
func killAll(ctx context.Context, pids []int) error {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return until(ctx, 10*time.Millisecond, func() bool {
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil && !isZombie(pid) {
				return false
			}
		}
		return true
	})
}

// signal sends sig to all processes of servers; without a name, of every server.
func (s *servers) signal(sig syscall.Signal, list ...string) {
	if len(list) == 0 {
		list = everyServer
	}
	for _, server := range list {
		for _, pid := range s.processTree(server) {
			_ = syscall.Kill(pid, sig)
		}
	}
}

// restore restarts the servers that do not run.
func (s *servers) restore(ctx context.Context) error {
	s.signal(syscall.SIGCONT)
	return s.up(ctx, everyServer...)
}

// pid returns the process that scripts/services started, or 0.
func (s *servers) pid(server string) int { return s.readPID(server, "pid") }

// readPID reads a process's number from a file of scripts/services.
func (s *servers) readPID(server, file string) int {
	text, _ := os.ReadFile(filepath.Join(s.dir, server, file))
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// processTree returns a server's process and all its descendants.
func (s *servers) processTree(server string) []int {
	first := s.pid(server)
	if first == 0 {
		return nil
	}
	return descendants(first)
}

// descendants returns a process and all its descendants.
func descendants(first int) []int {
	children := map[int][]int{}
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range entries {
		pid, parent, _ := readStat(path)
		children[parent] = append(children[parent], pid)
	}
	list := []int{first}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i]]...)
	}
	return list
}

func isZombie(pid int) bool {
	_, _, state := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return state == "Z" || state == "X"
}

// readStat reads a process's own number, its parent's and its state:
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func readStat(path string) (pid, parent int, state string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, ""
	}
	number, _, _ := strings.Cut(string(text), " ")
	pid, _ = strconv.Atoi(number)
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+1:])
	if len(fields) < 2 {
		return pid, 0, ""
	}
	parent, _ = strconv.Atoi(fields[1])
	return pid, parent, fields[0]
}

// sql runs a statement on a database of the private PostgreSQL.
func (s *servers) sql(ctx context.Context, database, statement string) (string, error) {
	u, err := s.database(database)
	if err != nil {
		return "", err
	}
	return psql(ctx, u, statement)
}

// psql runs a statement on the database of a URL.
func psql(ctx context.Context, u, statement string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, u) //nolint:gosec // our own
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// database returns the URL of a database of the private PostgreSQL.
func (s *servers) database(name string) (string, error) {
	u, err := url.Parse(s.urls[postgres])
	if err != nil {
		return "", fmt.Errorf("the URL of PostgreSQL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// rabbitmqctl runs a command of the private RabbitMQ.
func (s *servers) rabbitmqctl(ctx context.Context, args ...string) error {
	home := filepath.Join(s.dir, rabbitmq)
	port, err := os.ReadFile(filepath.Join(home, "epmd.port"))
	if err != nil {
		return fmt.Errorf("the port of epmd: %w", err)
	}
	program := "/usr/lib/rabbitmq/bin/rabbitmqctl"
	if _, err := os.Stat(program); err != nil {
		found, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmqctl")
		if len(found) > 0 {
			program = found[0]
		}
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-q", "-n", "gateway@localhost"}, args...)...) //nolint:gosec // our own
	cmd.Env = append(os.Environ(), "HOME="+home, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+strings.TrimSpace(string(port)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rabbitmqctl %s: %w: %s", args[0], err, out)
	}
	return nil
}
