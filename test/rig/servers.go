// Package rig provides what the programs below test/ need: private servers, child
// processes, free ports, and their resource usage.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The servers' names in scripts/services.
const (
	Postgres = "postgres"
	RabbitMQ = "rabbitmq"
	Redis    = "redis"
)

// Servers are a run's own PostgreSQL, RabbitMQ and Redis, run by scripts/services.
type Servers struct {
	root, dir string
	durable   bool
	urls      map[string]string
}

// StartServers starts all three in dir. durable makes PostgreSQL survive a power failure,
// as in production.
func StartServers(ctx context.Context, root, dir string, durable bool) (*Servers, error) {
	s := &Servers{root: root, dir: dir, durable: durable, urls: map[string]string{}}
	said, err := s.up(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Down())
	}
	names := map[string]string{"TEST_DATABASE_URL": Postgres, "TEST_RABBITMQ_URL": RabbitMQ, "TEST_REDIS_URL": Redis}
	for line := range strings.SplitSeq(said, "\n") {
		if variable, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "="); ok {
			s.urls[names[variable]] = strings.Trim(value, "'")
		}
	}
	for _, server := range []string{Postgres, RabbitMQ, Redis} {
		if s.urls[server] == "" {
			return nil, errors.Join(fmt.Errorf("%s was not started", server), s.Down())
		}
	}
	return s, nil
}

func (s *Servers) up(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"up"}, args...)
	if s.durable {
		args = append(args, "--durable")
	}
	return s.services(ctx, args...)
}

// Restart stops a server cleanly and starts it again, with its data.
func (s *Servers) Restart(ctx context.Context, server string) error {
	if _, err := s.services(ctx, "stop", "--only", server); err != nil {
		return err
	}
	_, err := s.up(ctx, "--only", server)
	return err
}

func (s *Servers) services(ctx context.Context, args ...string) (string, error) {
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

// URL returns a server's address, in the form of its client's setting.
func (s *Servers) URL(server string) string { return s.urls[server] }

// PID returns a server's first process; 0 if it runs in a container.
func (s *Servers) PID(server string) int {
	text, _ := os.ReadFile(filepath.Join(s.dir, server, "pid"))
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// Down stops all three and removes their data.
func (s *Servers) Down() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := s.services(ctx, "down")
	return err
}

// Repository returns the folder with go.mod, searching upwards from here.
func Repository() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.New("run it inside the repository")
}
