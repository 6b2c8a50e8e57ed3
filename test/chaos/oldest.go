package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// secondMigration is the file whose commit ended the first schema.
const secondMigration = "migrations/postgres/000002_operations.up.sql"

var errNoHistory = errors.New("this clone has no commit with the first schema, which upgrades begin with; " +
	"fetch its history (git fetch --unshallow), or give a program of that schema with --old-gateway")

// buildOldest builds the last program that knew the first schema alone, from its commit.
func (s *suite) buildOldest(ctx context.Context) (err error) {
	if s.oldest != "" {
		return nil
	}
	if s.oldGateway != "" {
		if s.oldest, err = filepath.Abs(s.oldGateway); err != nil {
			return fmt.Errorf("the old gateway's path: %w", err)
		}
		return nil
	}
	commit, err := s.oldestCommit(ctx)
	if err != nil {
		return err
	}
	s.say("building the gateway of the first schema, %.12s", commit)
	source, archive := filepath.Join(s.scratch, "oldest"), filepath.Join(s.scratch, "oldest.tar")
	if err := os.Mkdir(source, 0o700); err != nil {
		return fmt.Errorf("unpack the old gateway: %w", err)
	}
	program := filepath.Join(s.scratch, "gateway-oldest")
	for _, step := range []struct {
		in   string
		args []string
	}{
		{s.root, []string{"git", "archive", "--format=tar", "--output=" + archive, commit}},
		{source, []string{"tar", "-xf", archive}},
		{source, []string{"go", "build", "-buildvcs=false", "-tags", "failpoint", "-o", program, "."}},
	} {
		cmd := exec.CommandContext(ctx, step.args[0], step.args[1:]...) //nolint:gosec // our own
		cmd.Dir = step.in
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the gateway of commit %s: %s: %w\n%s", commit, step.args[0], err, said)
		}
	}
	s.oldest = program
	return errors.Join(os.RemoveAll(source), os.Remove(archive))
}

// oldestCommit returns the commit before the second migration. In a shallow clone that
// migration was added by a commit without a parent.
func (s *suite) oldestCommit(ctx context.Context) (string, error) {
	added, err := s.git(ctx, "log", "--no-renames", "--diff-filter=A", "--format=%H", "--", secondMigration)
	if err != nil {
		return "", err
	}
	lines := strings.Fields(added)
	if len(lines) == 0 {
		return "", errNoHistory
	}
	before := lines[len(lines)-1] + "^"
	commit, err := s.git(ctx, "rev-parse", "--verify", "--quiet", before+"^{commit}")
	if err != nil {
		return "", errNoHistory
	}
	if _, err := s.git(ctx, "cat-file", "-e", before+":"+secondMigration); err == nil {
		return "", errNoHistory
	}
	return commit, nil
}

func (s *suite) git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", s.root}, args...)...).Output() //nolint:gosec // our own
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
