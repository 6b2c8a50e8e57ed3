package database

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// concurrentIndex is a statement CREATE [UNIQUE] INDEX CONCURRENTLY name ON table definition,
// or DROP INDEX CONCURRENTLY name.
type concurrentIndex struct {
	drop       bool
	unique     string // "UNIQUE " or ""
	name       string
	table      string
	definition string
}

var (
	createsIndex = regexp.MustCompile(`(?is)^CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)\s+ON\s+(\w+)\s+(.+)$`)
	dropsIndex   = regexp.MustCompile(`(?is)^DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?(\w+)$`)
)

// parseIndexes returns the indexes of a file that builds or drops them concurrently; none for
// any other file. Such a file must not contain anything else, because each statement is its own
// transaction, and the file is run again after an interruption.
func parseIndexes(text string) ([]concurrentIndex, error) {
	var list []concurrentIndex
	others := 0
	for statement := range strings.SplitSeq(sqlComment.ReplaceAllString(text, ""), ";") {
		statement = strings.TrimSpace(statement)
		if statement == "" {
			continue
		}
		if m := createsIndex.FindStringSubmatch(statement); m != nil {
			unique := ""
			if m[1] != "" {
				unique = "UNIQUE "
			}
			list = append(list, concurrentIndex{unique: unique, name: m[2], table: m[3], definition: m[4]})
		} else if m := dropsIndex.FindStringSubmatch(statement); m != nil {
			list = append(list, concurrentIndex{drop: true, name: m[1]})
		} else {
			others++
		}
	}
	if len(list) > 0 && others > 0 {
		return nil, errors.New("a migration with an index CONCURRENTLY must contain nothing else")
	}
	return list, nil
}

const selectIndexSQL = `
SELECT COALESCE((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)), false) AS valid, to_regclass($1) IS NOT NULL AS exists`

type indexState struct{ Valid, Exists bool }

func (s *session) index(ctx context.Context, name string) (state indexState, err error) {
	if err := s.own.Get(ctx, &state, selectIndexSQL, name); err != nil {
		return state, fmt.Errorf("look the index %s up: %w", name, err)
	}
	return state, nil
}

// selectPartitionsWithoutSQL are the partitions of $1 that have no part of the index $2. One that was
// made after the index was declared has it, by a name that PostgreSQL gave.
const selectPartitionsWithoutSQL = `
SELECT c.relname
FROM   pg_inherits i
JOIN   pg_class c ON c.oid = i.inhrelid
WHERE  i.inhparent = to_regclass($1) AND NOT i.inhdetachpending
       AND NOT EXISTS (SELECT FROM pg_inherits part JOIN pg_index x ON x.indexrelid = part.inhrelid
                       WHERE part.inhparent = to_regclass($2) AND x.indrelid = i.inhrelid)
ORDER  BY c.relname`

const selectIsPartitionedSQL = `
SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'p')`

// buildIndex builds or drops an index without blocking writes. What an interrupted build left
// is dropped and built again; what is finished stays. PostgreSQL builds no index of a
// partitioned table concurrently, so each partition's is built by itself and then attached.
// https://www.postgresql.org/docs/current/ddl-partitioning.html
func (s *session) buildIndex(ctx context.Context, x concurrentIndex) error {
	if x.drop { // the statement names no table
		return s.dropIndex(ctx, x.name)
	}
	var partitioned bool
	if err := s.own.Get(ctx, &partitioned, selectIsPartitionedSQL, x.table); err != nil {
		return fmt.Errorf("look the table %s up: %w", x.table, err)
	}
	if !partitioned {
		return s.buildOne(ctx, x, x.name, x.table, "")
	}
	parent := fmt.Sprintf("CREATE %sINDEX IF NOT EXISTS %s ON ONLY %s %s", x.unique, x.name, x.table, x.definition)
	if err := s.patiently(ctx, func() error { return s.inTx(ctx, parent) }); err != nil {
		return fmt.Errorf("declare the index %s: %w", x.name, err)
	}
	var partitions []string
	if err := s.own.Select(ctx, &partitions, selectPartitionsWithoutSQL, x.table, x.name); err != nil {
		return fmt.Errorf("list the partitions of %s: %w", x.table, err)
	}
	for i, partition := range partitions {
		name := partitionIndex(x, partition)
		if err := s.buildOne(ctx, x, name, partition, fmt.Sprintf(" (%d of %d)", i+1, len(partitions))); err != nil {
			return err
		}
		attach := fmt.Sprintf("ALTER INDEX %s ATTACH PARTITION %s", x.name, name)
		if err := s.patiently(ctx, func() error { return s.inTx(ctx, attach) }); err != nil {
			return fmt.Errorf("attach the index %s: %w", name, err)
		}
	}
	return s.finished(ctx, x)
}

// partitionIndex is the name of a partition's part of an index, of at most 63 characters.
func partitionIndex(x concurrentIndex, partition string) string {
	name := x.name + strings.TrimPrefix(partition, x.table)
	if len(name) > 63 {
		name = name[len(name)-63:]
	}
	return name
}

// finished checks that the index of a partitioned table is valid, that is, complete.
func (s *session) finished(ctx context.Context, x concurrentIndex) error {
	state, err := s.index(ctx, x.name)
	if err == nil && !state.Valid {
		err = fmt.Errorf("the index %s lacks a partition that was made meanwhile; run it again", x.name)
	}
	return err
}

func (s *session) buildOne(ctx context.Context, x concurrentIndex, name, table, of string) error {
	state, err := s.index(ctx, name)
	if err != nil || state.Valid {
		return err
	}
	if state.Exists {
		s.say("the index %s was left unfinished; building it again", name)
		if err := s.dropIndex(ctx, name); err != nil {
			return err
		}
	}
	s.say("building the index %s%s", name, of)
	stop := s.watch(ctx, name)
	defer stop()
	create := fmt.Sprintf("CREATE %sINDEX CONCURRENTLY %s ON %s %s", x.unique, name, table, x.definition)
	if err := s.patientlyBuild(ctx, name, create); err != nil {
		return fmt.Errorf("build the index %s: %w", name, err)
	}
	return nil
}

// patientlyBuild repeats a build that did not get its lock, without what it left.
func (s *session) patientlyBuild(ctx context.Context, name, create string) error {
	return s.patiently(ctx, func() error {
		err := s.exec(ctx, create)
		if hasCode(err, "55P03", "40P01") {
			if dropped := s.dropIndex(ctx, name); dropped != nil && !hasCode(dropped, "55P03", "40P01") {
				return dropped
			}
		}
		return err
	})
}

func (s *session) dropIndex(ctx context.Context, name string) error {
	how := "CONCURRENTLY "
	var partitioned bool
	if err := s.own.Get(ctx, &partitioned, `SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'I')`, name); err != nil {
		return fmt.Errorf("look the index %s up: %w", name, err)
	}
	if partitioned {
		how = "" // PostgreSQL drops no index of a partitioned table concurrently
	}
	return s.patiently(ctx, func() error { return s.exec(ctx, "DROP INDEX "+how+"IF EXISTS "+name) })
}

const selectProgressSQL = `
SELECT phase, CASE WHEN blocks_total > 0 THEN 100 * blocks_done / blocks_total ELSE 0 END AS percent
FROM   pg_stat_progress_create_index
WHERE  datname = current_database()`

const progressEvery = 10 * time.Second

// watch reports the progress of a build until stop.
func (s *session) watch(ctx context.Context, name string) (stop func()) {
	watching, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for clock.Sleep(watching, progressEvery) {
			var p struct {
				Phase   string
				Percent int64
			}
			if s.own.Get(watching, &p, selectProgressSQL) == nil {
				s.say("the index %s: %s, %d%%", name, p.Phase, p.Percent)
			}
		}
	}()
	return func() { cancel(); <-ended }
}
