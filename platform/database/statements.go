package database

import (
	"context"
	"slices"
	"sync"

	"github.com/jmoiron/sqlx"
)

// maxStatements bounds how many are kept prepared. There are a few dozen, each with a
// few numbers of rows where that is part of the text.
const maxStatements = 512

// statements keeps prepared what is run again and again: it is parsed once a
// connection, and takes one round trip instead of two. What is met in a transaction is
// prepared after it, since on SQLite that holds the only connection.
type statements struct {
	db *sqlx.DB

	mu    sync.Mutex
	ready map[string]*sqlx.Stmt
	met   []string
}

func newStatements(db *sqlx.DB) *statements {
	return &statements{db: db, ready: map[string]*sqlx.Stmt{}}
}

// of gives the prepared statement of that text; nil when there is none yet.
func (s *statements) of(text string) *sqlx.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.ready[text]; ok {
		return stmt
	}
	if len(s.ready)+len(s.met) < maxStatements && !slices.Contains(s.met, text) {
		s.met = append(s.met, text)
	}
	return nil
}

// prepare prepares what was met. What cannot be prepared now is met again.
func (s *statements) prepare(ctx context.Context) {
	s.mu.Lock()
	met := s.met
	s.met = nil
	s.mu.Unlock()
	for _, text := range met {
		stmt, err := s.db.PreparexContext(ctx, text)
		if err != nil {
			return
		}
		s.keep(text, stmt)
	}
}

func (s *statements) keep(text string, stmt *sqlx.Stmt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.ready[text]; twice {
		_ = stmt.Close()
		return
	}
	s.ready[text] = stmt
}
