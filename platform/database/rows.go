package database

import (
	"fmt"
	"strings"
)

// Type is a column's type in a Rows, by PostgreSQL's name.
type Type string

// The types of columns, and the Go values they take; every one takes nil too,
// but for Bytes.
const (
	UUID   Type = "uuid"        // string, *string
	Text   Type = "text"        // string, *string
	Bytes  Type = "bytea"       // []byte
	Times  Type = "timestamptz" // time.Time, *time.Time
	BigInt Type = "bigint"      // int, *int, int64
	Bool   Type = "boolean"     // bool
)

// Column is one column of a Rows.
type Column struct {
	Name string
	Type Type
}

// Rows is a relation that a statement uses under the name v: unnest over arrays
// on PostgreSQL, VALUES on SQLite, from one list of columns.
type Rows struct {
	columns []Column
	values  [][]any // by column
}

// NewRows makes an empty relation. Columns are written "name type", such as
// "id uuid".
func NewRows(columns ...string) *Rows {
	r := &Rows{values: make([][]any, len(columns))}
	for _, c := range columns {
		name, typ, ok := strings.Cut(c, " ")
		if !ok {
			panic("database: the column " + c + ` has no type; write "name type"`)
		}
		r.columns = append(r.columns, Column{name, Type(typ)})
	}
	return r
}

// IDs makes a relation of one column id.
func IDs(ids []string) *Rows {
	r := NewRows("id uuid")
	for _, id := range ids {
		r.Add(id)
	}
	return r
}

// Add appends a row: one value a column, in order.
func (r *Rows) Add(values ...any) {
	if len(values) != len(r.columns) {
		panic(fmt.Sprintf("database: %d values for %d columns", len(values), len(r.columns)))
	}
	for i, v := range values {
		r.values[i] = append(r.values[i], v)
	}
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.values[0]) }

// slice is the rows from one number to before another.
func (r *Rows) slice(from, to int) *Rows {
	part := &Rows{columns: r.columns, values: make([][]any, len(r.columns))}
	for i, column := range r.values {
		part.values[i] = column[from:to]
	}
	return part
}

func (r *Rows) names() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.Name
	}
	return names
}

// with puts r before query as v. args keep their numbers.
func (d Dialect) with(r *Rows, query string, args []any) (text string, all []any, fixed bool) {
	body, query, all, fixed := d.relation(r, query, args)
	return "WITH v (" + strings.Join(r.names(), ", ") + ") AS (" + body + ")\n" + query, all, fixed
}
