package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"integration-gateway/test/rig"
)

// machine describes what was measured, when and where.
func (b *bench) machine(ctx context.Context, at time.Time) string {
	commit := b.output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if b.output(ctx, "git", "status", "--porcelain") != "" {
		commit += " with changes"
	}
	text := fmt.Sprintf("Commit %s, %s, %s, %d cores, %s, kernel %s.\n", commit, at.Format("2006-01-02 15:04 MST"), model(),
		runtime.NumCPU(), runtime.Version(), b.output(ctx, "uname", "-r"))
	if b.servers != nil {
		text += fmt.Sprintf("PostgreSQL %s, RabbitMQ %s, Redis %s, on the same machine as the sender.\n",
			b.postgresVersion(ctx), rabbitmqVersion(), field(b.output(ctx, "redis-server", "--version"), "v="))
	}
	return text
}

func (b *bench) output(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // one of the few below
	cmd.Dir = b.root
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func model() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// field returns the word of text that begins with name, without name.
func field(text, name string) string {
	for word := range strings.FieldsSeq(text) {
		if value, ok := strings.CutPrefix(word, name); ok {
			return value
		}
	}
	return "unknown"
}

func (b *bench) postgresVersion(ctx context.Context) string {
	version := b.output(ctx, "psql", "-X", "-A", "-t", "-c", "SHOW server_version", b.servers.URL(rig.Postgres))
	version, _, _ = strings.Cut(version, " ")
	return version
}

// rabbitmqVersion reads the version from the package's folder.
func rabbitmqVersion() string {
	const stem = "/usr/lib/rabbitmq/lib/rabbitmq_server-"
	found, _ := filepath.Glob(stem + "*")
	if len(found) == 0 {
		return "unknown"
	}
	return strings.TrimPrefix(found[0], stem)
}

// ownCPU is the CPU time of this process, which runs the sender and the receiver.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
