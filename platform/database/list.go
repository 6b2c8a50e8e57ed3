package database

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

// Filter collects the conditions of a list.
type Filter struct {
	conditions []string
	args       []any
}

// Add appends a condition; each ? in it stands for one of args.
func (f *Filter) Add(condition string, args ...any) {
	for _, arg := range args {
		f.args = append(f.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// Among appends the condition that a column has one of values; of none, no row has.
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

// Only reports whether all conditions begin with this table's name.
func (f *Filter) Only(table string) bool {
	return !slices.ContainsFunc(f.conditions, func(c string) bool { return !strings.HasPrefix(c, table) })
}

func (f *Filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// Page is which part of a list is wanted: a page by number, or what follows a
// position.
type Page struct {
	Number int // from 1; ignored when After is set
	Size   int // 1 to 100
	After  *Position
}

// Position is a place in a list: the sort column's value there and the row's id.
type Position struct {
	Value string
	ID    string
}

// TimeValue is a time as a Position's value.
func TimeValue(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Listing says how a list of T is read.
type Listing[T any] struct {
	Columns string   // the columns of a row
	From    string   // the tables, without FROM
	Sort    []string // the columns to sort by; none when the order is the rows' own
	ID      string   // the column that makes the order total
	Desc    bool
	Key     func(T) Position // a row's place; nil where the list has no cursors, as one that sorts by several columns

	CountFrom string // the tables that the number of rows and the filter need; From when ""
	CountAll  bool   // of a list whose total is asked for itself: however many there are
}

// List is one page, and what is said about the whole.
type List[T any] struct {
	Items     []T // never nil
	Total     int
	Estimated bool      // Total is an estimate: there are more than CountedAtMost
	Next      *Position // nil on the last page
}

// ReadList reads one page of a list.
func ReadList[T any](ctx context.Context, db *DB, l Listing[T], f *Filter, p Page) (List[T], error) {
	list := List[T]{Items: []T{}}
	var err error
	if list.Total, list.Estimated, err = l.count(ctx, db, f); err != nil {
		return list, fmt.Errorf("count: %w", err)
	}
	query, args, err := l.Statement(f, p)
	if err != nil {
		return list, err
	}
	if err := db.Select(ctx, &list.Items, query, args...); err != nil {
		return list, fmt.Errorf("list: %w", err)
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

// Statement reads a page, and one row more to know whether another follows; fault.Invalid
// when the page's position is none of this list.
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
		return fault.Invalid.Wrap(err, "bad_cursor", "The cursor is not one that this list gave.").At("cursor")
	}
	f.Add(fmt.Sprintf("(%s, %s) %s (?, ?)", l.Sort[0], l.ID, compare), value, after.ID)
	return nil
}
