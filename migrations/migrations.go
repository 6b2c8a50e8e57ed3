// Package migrations contains the schema's history for both engines. The same version
// creates the same tables, columns and indexes.
//
// NUMBER_NAME.up.sql and .down.sql are a version's statements, and NUMBER_NAME.schema the
// objects that it adds (+) and removes (-), which a test records. The comment at the head of
// a PostgreSQL file declares, for both engines, what the step does; see Step.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Files contains postgres/* and sqlite/*.
//
//go:embed postgres/*.sql sqlite/*.sql postgres/*.schema sqlite/*.schema
var Files embed.FS

// Step is one migration.
type Step struct {
	Version uint
	Name    string // as in its file: records
	// Change says what it does, and Locks which tables it locks how on PostgreSQL, or
	// "nothing".
	Change, Locks string
	// MinReader is the lowest schema version whose programs work on the result. A step without
	// a declaration has its own version: older programs must not run beside it.
	MinReader uint
	// Concurrent says that its indexes are built without blocking writes, outside of a
	// transaction, and that an interrupted step continues where it was.
	Concurrent bool
	Up         string // its statements
}

var (
	upFile       = regexp.MustCompile(`^(\d+)_(\w+)\.up\.sql$`)
	declaration  = regexp.MustCompile(`(?m)^-- (Change|Locks|Min reader): (.+)$`)
	concurrently = regexp.MustCompile(`(?i)\bINDEX\s+CONCURRENTLY\b`)
)

// Steps returns an engine's migrations in files, by version.
func Steps(files fs.FS, engine string) ([]Step, error) {
	names, err := fs.Glob(files, engine+"/*.up.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	var steps []Step
	for _, name := range names {
		m := upFile.FindStringSubmatch(path.Base(name))
		if m == nil {
			return nil, fmt.Errorf("migrations/%s: the name must be NUMBER_NAME.up.sql", name)
		}
		number, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("migrations/%s: %w", name, err)
		}
		step := Step{Version: uint(number), Name: m[2], Change: strings.ReplaceAll(m[2], "_", " "), Locks: "nothing", MinReader: uint(number)}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read a migration: %w", err)
		}
		step.Up = string(text)
		step.Concurrent = concurrently.MatchString(step.Up)
		if head, err := fs.ReadFile(files, "postgres/"+path.Base(name)); err == nil {
			if err := step.declare(string(head)); err != nil {
				return nil, fmt.Errorf("migrations/%s: %w", name, err)
			}
		}
		steps = append(steps, step)
	}
	slices.SortFunc(steps, func(a, b Step) int { return int(a.Version) - int(b.Version) }) //nolint:gosec // small numbers
	return steps, nil
}

// declare reads what a file says of itself.
func (s *Step) declare(text string) error {
	for _, m := range declaration.FindAllStringSubmatch(text, -1) {
		switch value := strings.TrimSpace(m[2]); m[1] {
		case "Change":
			s.Change = value
		case "Locks":
			s.Locks = value
		default:
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n < 1 || uint(n) > s.Version {
				return fmt.Errorf("the minimum reader %q must be a version from 1 to %d", value, s.Version)
			}
			s.MinReader = uint(n)
		}
	}
	return nil
}

// Objects returns the recorded objects of the schema of a version; none if a version up to it
// has no record.
func Objects(files fs.FS, engine string, version uint) ([]string, error) {
	steps, err := Steps(files, engine)
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, step := range steps {
		if step.Version > version {
			break
		}
		text, err := fs.ReadFile(files, fmt.Sprintf("%s/%06d_%s.schema", engine, step.Version, step.Name))
		if err != nil {
			return nil, nil //nolint:nilerr // not recorded
		}
		for line := range strings.Lines(string(text)) {
			sign, object, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch sign {
			case "+":
				all[object] = true
			case "-":
				delete(all, object)
			}
		}
	}
	list := make([]string, 0, len(all))
	for object := range all {
		list = append(list, object)
	}
	slices.Sort(list)
	return list, nil
}
