package database

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// Filter collects the conditions of a list.
type Filter struct {
	conditions []string
	args       []any
}

// Add appends a condition; each ? in it is replaced by one of args.
func (f *Filter) Add(condition string, args ...any) {
	for _, arg := range args {
		f.args = append(f.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// clockMargin is more than the clocks of two machines differ.
const clockMargin = time.Hour

// CreatedBetween appends the conditions that a time of creation is in a window; nil is no
// bound. They also bound the id, which contains a time of the machine that made it, so that an
// index on the id alone finds the window.
func (f *Filter) CreatedBetween(idColumn, timeColumn string, from, to *time.Time) {
	if from != nil {
		f.Add(timeColumn+" >= ?", *from)
		f.Add(idColumn+" >= ?", id.Floor(from.Add(-clockMargin)))
	}
	if to != nil {
		f.Add(timeColumn+" <= ?", *to)
		f.Add(idColumn+" < ?", id.Floor(to.Add(clockMargin)))
	}
}

// Among appends the condition that a column has one of values; without values no row
// matches.
func (f *Filter) Among(column string, values []string) {
	if len(values) == 0 {
		f.Add("1 = 0")
		return
	}
	args := make([]any, len(values))
	for i, value := range values {
		args[i] = value
	}
	f.Add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

// Only reports whether all conditions start with this table's name.
func (f *Filter) Only(table string) bool {
	return !slices.ContainsFunc(f.conditions, func(c string) bool { return !strings.HasPrefix(c, table) })
}

// Continue returns an empty filter whose arguments are numbered after f's, for a second
// table of the same statement. Its Where returns the arguments of both.
func (f *Filter) Continue() *Filter { return &Filter{args: slices.Clone(f.args)} }

// Where returns the conditions as a WHERE clause, "" if there are none, and the arguments.
func (f *Filter) Where() (clause string, args []any) { return f.where(), f.args }

func (f *Filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// Page selects a part of a list: a page by number, or the rows after a position.
type Page struct {
	Number int // from 1; ignored if After is set
	Size   int // 1 to 100
	After  *Position
}

// Position is a position in a list: the row's sort value and its id.
type Position struct {
	Value string
	ID    string
}

// TimeValue formats a time as a Position's value.
func TimeValue(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Listing describes how a list of T is read.
type Listing[T any] struct {
	Columns string   // the columns of a row
	From    string   // the tables, without FROM
	Sort    []string // the columns to sort by; none if the ID alone sorts the rows
	ID      string   // the column that makes the order total
	Desc    bool
	Key     func(T) Position // a row's position; nil for lists without cursors, such as those sorted by several columns

	CountFrom string // the tables needed for the count and the filter; default From
	CountAll  bool   // always count exactly, however many there are
}

// List is one page of a list, with its total.
type List[T any] struct {
	Items     []T // never nil
	Total     int
	Estimated bool      // Total is an estimate, above CountedAtMost
	Next      *Position // nil on the last page
}

// ReadList reads one page of a list.
func ReadList[T any](ctx context.Context, db *DB, l Listing[T], f *Filter, p Page) (List[T], error) {
	list := List[T]{Items: []T{}}
	query, args, err := l.Statement(f, p)
	if err != nil {
		return list, err
	}
	if err := db.Select(ctx, &list.Items, query, args...); err != nil {
		return list, fmt.Errorf("list: %w", err)
	}
	if read := len(list.Items); p.After == nil && read <= p.Size && (read > 0 || p.Number == 1) { // the last page says how many there are
		list.Total = (p.Number-1)*p.Size + read
	} else if list.Total, list.Estimated, err = l.Count(ctx, db, f); err != nil {
		return list, fmt.Errorf("count: %w", err)
	}
	if len(list.Items) > p.Size {
		list.Items = list.Items[:p.Size]
		if l.Key != nil {
			next := l.Key(list.Items[p.Size-1])
			list.Next = &next
		}
	}
	return list, nil
}

// Statement returns the query of a page, with one extra row to know whether another page
// follows; fault.Invalid if the position does not belong to this list.
func (l Listing[T]) Statement(f *Filter, p Page) (query string, args []any, err error) {
	paged := Filter{conditions: slices.Clone(f.conditions), args: slices.Clone(f.args)}
	direction, compare := "", ">"
	if l.Desc {
		direction, compare = " DESC", "<"
	}
	skip := (p.Number - 1) * p.Size
	if p.After != nil {
		skip = 0
		if err := l.startAfter(&paged, *p.After, compare); err != nil {
			return "", nil, err
		}
	}
	order := strings.Join(append(slices.Clone(l.Sort), l.ID), direction+", ") + direction
	return fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d OFFSET %d",
		l.Columns, l.From, paged.where(), order, p.Size+1, max(skip, 0)), paged.args, nil
}

func (l Listing[T]) startAfter(f *Filter, after Position, compare string) error {
	if len(l.Sort) == 0 {
		f.Add(fmt.Sprintf("%s %s ?", l.ID, compare), after.ID)
		return nil
	}
	value, err := time.Parse(time.RFC3339Nano, after.Value)
	if err != nil {
		return fault.Invalid.Wrap(err, "bad_cursor", "The cursor does not belong to this list.").At("cursor")
	}
	f.Add(fmt.Sprintf("(%s, %s) %s (?, ?)", l.Sort[0], l.ID, compare), value.UTC(), after.ID)
	return nil
}
