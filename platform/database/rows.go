package database

import (
	"strings"
)

// Rows is a relation that a statement uses under the name v: unnest over arrays on
// PostgreSQL, VALUES on SQLite, from one list of columns.
type Rows struct{ columns []column }

// NewRows makes an empty relation. Columns are given as "name type", such as "id uuid".
func NewRows(columns ...string) *Rows {
	r := &Rows{columns: make([]column, len(columns))}
	for i, c := range columns {
		name, typ, ok := strings.Cut(c, " ")
		if !ok {
			panic("database: the column " + c + ` has no type; write "name type"`)
		}
		r.columns[i] = column{name: name, typ: Type(typ)}
	}
	return r
}

// Expect announces how many rows will be added, so that the memory for many rows is
// allocated once.
func (r *Rows) Expect(rows int) *Rows {
	for i := range r.columns {
		r.columns[i].expected = rows - 1
	}
	return r
}

// IDs makes a relation with one column, id.
func IDs(ids []string) *Rows {
	r := NewRows("id uuid").Expect(len(ids))
	for _, id := range ids {
		r.Add(id)
	}
	return r
}

// Add appends a row with one value per column, in order. It does not keep references to
// them.
func (r *Rows) Add(values ...any) {
	if len(values) != len(r.columns) {
		panic("database: the number of values differs from the number of columns")
	}
	for i, v := range values {
		r.columns[i].add(v)
	}
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.columns[0].ends) }

// slice returns the rows in [from, to).
func (r *Rows) slice(from, to int) *Rows {
	part := &Rows{columns: make([]column, len(r.columns))}
	for i, c := range r.columns {
		part.columns[i] = c.slice(from, to)
	}
	return part
}

func (r *Rows) names() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return names
}

// with renders r before query as v. args keep their numbers.
func (d Dialect) with(r *Rows, query string, args []any) (text string, all []any, fixed bool) {
	body, query, all, fixed := d.relation(r, query, args)
	return r.before(body, query), all, fixed
}

// before returns the query with its relation v, whose rows body selects.
func (r *Rows) before(body, query string) string {
	return "WITH v (" + strings.Join(r.names(), ", ") + ") AS (" + body + ")\n" + query
}
