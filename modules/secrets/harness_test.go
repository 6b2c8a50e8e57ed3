package secrets

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const (
	oldKey = "the key of last year, to be removed"
	newKey = "the key of this year, to be kept"
)

// shelf is a kind of sealed rows, as a module owns them. Its table has two sealed columns, one of
// them nullable. It records the audit entries.
type shelf struct {
	t     *testing.T
	db    *database.DB
	trail []contract.AuditEntry

	afterRead  func(rows []contract.SealedRow)                  // called after each read
	afterWrite func(context.Context, *database.Tx, int64) error // called after each write, before the commit
}

func eachShelf(t *testing.T, test func(t *testing.T, s *shelf)) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		s := &shelf{t: t, db: db, afterRead: func([]contract.SealedRow) {}, afterWrite: func(context.Context, *database.Tx, int64) error { return nil }}
		s.exec(`CREATE TABLE shelf (id uuid PRIMARY KEY, in_use boolean NOT NULL, one text NOT NULL, two text)`)
		test(t, s)
	})
}

func (s *shelf) exec(query string, args ...any) {
	s.t.Helper()
	require.NoError(s.t, s.db.InTx(context.Background(), func(tx *database.Tx) error {
		_, err := tx.Exec(context.Background(), query, args...)
		return err
	}))
}

// module returns a module for the shelf that handles two rows at a time.
func (s *shelf) module(ring *keyring.Ring) *Module {
	return New(Config{Batch: 2}, Deps{DB: s.db, Ring: ring, Audit: s, Kinds: []Kind{{"shelf", s, nil}}})
}

func (s *shelf) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	s.trail = append(s.trail, entries...)
	return nil
}

func rowID(n int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) }

func place(column string, n int) secret.Place {
	return secret.Place{Table: "shelf", Column: column, Row: rowID(n)}
}

// put seals one and two with the ring and stores them as row n.
func (s *shelf) put(n int, ring *keyring.Ring, one, two string) {
	s.t.Helper()
	first, err := ring.Seal(place("one", n), secret.New(one))
	require.NoError(s.t, err)
	second, err := ring.Seal(place("two", n), secret.New(two))
	require.NoError(s.t, err)
	s.exec(`INSERT INTO shelf (id, in_use, one, two) VALUES ($1, $2, $3, $4)`, rowID(n), true, first, second)
}

// texts returns the stored columns of row n.
func (s *shelf) texts(n int) (one string, two *string) {
	s.t.Helper()
	var row struct {
		One string  `db:"one"`
		Two *string `db:"two"`
	}
	require.NoError(s.t, s.db.Get(context.Background(), &row, `SELECT one, two FROM shelf WHERE id = $1`, rowID(n)))
	return row.One, row.Two
}

// opens decrypts the first column of row n with a ring.
func (s *shelf) opens(n int, ring *keyring.Ring) string {
	s.t.Helper()
	one, _ := s.texts(n)
	value, err := ring.Open(place("one", n), one)
	require.NoError(s.t, err)
	return value.Reveal()
}

func (s *shelf) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	var rows []struct {
		ID    string  `db:"id"`
		InUse bool    `db:"in_use"`
		One   string  `db:"one"`
		Two   *string `db:"two"`
	}
	if err := s.db.Select(ctx, &rows, `SELECT id, in_use, one, two FROM shelf WHERE id > $1 ORDER BY id LIMIT $2`, after, limit); err != nil {
		return nil, err
	}
	list := make([]contract.SealedRow, len(rows))
	for i, r := range rows {
		list[i] = contract.SealedRow{ID: r.ID, Of: "thing " + r.ID[len(r.ID)-2:], InUse: r.InUse, Texts: []*string{&r.One, r.Two},
			Places: []secret.Place{{Table: "shelf", Column: "one", Row: r.ID}, {Table: "shelf", Column: "two", Row: r.ID}}}
	}
	s.afterRead(list)
	return list, nil
}

func (s *shelf) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "before_one text", "before_two text", "after_one text", "after_two text")
	for _, r := range rows {
		v.Add(r.ID, r.Before[0], r.Before[1], r.After[0], r.After[1])
	}
	n, err := tx.ExecRows(ctx, v, `UPDATE shelf SET one = v.after_one, two = v.after_two FROM v
		WHERE shelf.id = v.id AND shelf.one = v.before_one AND shelf.two IS NOT DISTINCT FROM v.before_two`)
	if err != nil {
		return 0, err
	}
	return n, s.afterWrite(ctx, tx, n)
}

// ring returns a ring that seals with current and also opens with others.
func ring(t *testing.T, current string, others ...string) *keyring.Ring {
	t.Helper()
	return ringOf(t, keyring.Config{Current: secret.New(current), Others: values(others)})
}

func ringOf(t *testing.T, cfg keyring.Config) *keyring.Ring {
	t.Helper()
	r, err := keyring.New(cfg)
	require.NoError(t, err)
	return r
}

func values(texts []string) (list []secret.Value) {
	for _, text := range texts {
		list = append(list, secret.New(text))
	}
	return list
}

// withRetired returns a ring like a process's, including the stored retired keys.
func (s *shelf) withRetired(current string, others ...string) *keyring.Ring {
	s.t.Helper()
	r := ring(s.t, current, others...)
	list, err := Retired(context.Background(), s.db)
	require.NoError(s.t, err)
	for _, k := range list {
		require.NoError(s.t, r.Adopt(k))
	}
	return r
}

func ignore(Progress) error { return nil }
