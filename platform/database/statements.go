package database

import (
	"context"
	"slices"
	"sync"

	"github.com/jmoiron/sqlx"
)

// maxStatements limits the prepared statements. There are a few dozen, each with a few
// numbers of rows if that is part of the text.
const maxStatements = 512

// statements prepares statements that are run repeatedly: each is parsed once per
// connection and takes one round trip instead of two. A statement first seen in a
// transaction is prepared after it, since on SQLite the transaction holds the only
// connection.
type statements struct {
	db *sqlx.DB

	mu       sync.Mutex
	prepared map[string]*sqlx.Stmt
	seen     []string
}

func newStatements(db *sqlx.DB) *statements {
	return &statements{db: db, prepared: map[string]*sqlx.Stmt{}}
}

// get returns the prepared statement of a text; nil if there is none yet.
func (s *statements) get(text string) *sqlx.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.prepared[text]; ok {
		return stmt
	}
	if len(s.prepared)+len(s.seen) < maxStatements && !slices.Contains(s.seen, text) {
		s.seen = append(s.seen, text)
	}
	return nil
}

// prepare prepares the statements seen. A failed one is seen again.
func (s *statements) prepare(ctx context.Context) {
	s.mu.Lock()
	met := s.seen
	s.seen = nil
	s.mu.Unlock()
	for _, text := range met {
		stmt, err := s.db.PreparexContext(ctx, text)
		if err != nil {
			return
		}
		s.add(text, stmt)
	}
}

func (s *statements) add(text string, stmt *sqlx.Stmt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.prepared[text]; twice {
		_ = stmt.Close()
		return
	}
	s.prepared[text] = stmt
}
