package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
)

// defaultLimit is how many items a list shows without --limit.
const defaultLimit = 20

// listing describes a command that prints a list.
type listing struct {
	short, long string
	path        string
	of          string // what the one argument names; "" for none. Its id stands in path for %s
	use         string // by default list
	params      []param
	fixed       url.Values // of every request
	columns     []output.Column
	empty       string // what there would be
	whole       bool   // the route is not paged
	// prepare completes the request; nil for nothing.
	prepare func(ctx context.Context, s *session, query url.Values) error
	// items makes the list's items of the answer's; nil: they are the same.
	items func(json.RawMessage) ([]json.RawMessage, error)
	// after prints what follows the table.
	after func(ctx context.Context, s *session, query url.Values) error
}

func (c *command) list(l listing) *cobra.Command {
	cmd := &cobra.Command{Use: cmp.Or(l.use, "list"), Short: l.short, Long: l.long, Args: cobra.NoArgs}
	if l.of != "" {
		cmd.Args = cobra.ExactArgs(1)
	}
	f := addFilters(cmd, l.params)
	limit, all := defaultLimit, false
	var every time.Duration
	if !l.whole {
		cmd.Flags().IntVarP(&limit, "limit", "n", limit, "items to print at most")
		cmd.Flags().BoolVar(&all, "all", false, "print all of them")
		cmd.MarkFlagsMutuallyExclusive("limit", "all")
	}
	addWatch(cmd, &every)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 1 {
			return usage("--limit must be at least 1")
		}
		if _, err := f.query(); err != nil {
			return err
		}
		if l.of != "" {
			id, err := validID(l.of, args[0])
			if err != nil {
				return err
			}
			l.path = fmt.Sprintf(l.path, id)
		}
		return c.onAPI(func(ctx context.Context, s *session, _ []string) error {
			return s.watched(ctx, every, func() error {
				query, err := f.query()
				if err != nil {
					return err
				}
				for name, values := range l.fixed {
					query[name] = values
				}
				if l.prepare != nil {
					if err := l.prepare(ctx, s, query); err != nil {
						return err
					}
				}
				if all {
					return s.print(ctx, l, query, 0)
				}
				return s.print(ctx, l, query, limit)
			})
		})(cmd, args)
	}
	return cmd
}

// print reads and prints a list; limit 0 means all of it.
func (s *session) print(ctx context.Context, l listing, query url.Values, limit int) error {
	list := s.out.List(l.columns)
	progress := s.c.progress()
	defer progress.done()
	add := func(items []json.RawMessage) error {
		if l.items != nil {
			var own []json.RawMessage
			for _, item := range items {
				more, err := l.items(item)
				if err != nil {
					return err
				}
				own = append(own, more...)
			}
			items = own
		}
		err := list.Add(items)
		progress.show("%d read", list.Count())
		return err
	}
	var meta client.Meta
	var err error
	if l.whole {
		var items []json.RawMessage
		if items, err = s.Whole(ctx, l.path, query); err == nil {
			err = add(items)
		}
		meta.Total = list.Count()
	} else {
		meta, err = s.List(ctx, l.path, query, limit, func(p client.Page) error { return add(p.Items) })
	}
	if err != nil {
		return err
	}
	progress.done()
	if err := list.End(); err != nil {
		return err
	}
	if err := s.footer(l, list.Count(), meta); err != nil || l.after == nil || !s.out.ForPeople() {
		return err
	}
	return l.after(ctx, s, query)
}

func (s *session) footer(l listing, shown int, meta client.Meta) error {
	switch about := ""; {
	case shown == 0:
		return s.out.Say("%s", l.empty)
	case l.whole:
		return nil
	default:
		if meta.TotalIsEstimate {
			about = "about "
		}
		more := ""
		if shown < meta.Total {
			more = "; more with --limit or --all"
		}
		return s.out.Say("\n%d of %s%d%s", shown, about, meta.Total, more)
	}
}

// addWatch adds --watch.
func addWatch(cmd *cobra.Command, every *time.Duration) {
	cmd.Flags().DurationVarP(every, "watch", "w", 0, "print it anew after each interval, until interrupted")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
}

// leastWatch is the shortest interval of --watch.
const leastWatch = 500 * time.Millisecond

// watched runs do once, or with --watch until ctx ends, on a cleared terminal each time, also
// while there is no answer.
func (s *session) watched(ctx context.Context, every time.Duration, do func() error) error {
	if every == 0 {
		return do()
	}
	if every < leastWatch {
		return usage("--watch must be at least " + leastWatch.String())
	}
	_, isTerminal := s.c.terminal()
	for {
		if isTerminal {
			_, _ = s.c.raw.Write([]byte("\x1b[H\x1b[2J"))
		}
		if err := do(); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // interrupted
			}
			if codeOf(err) != exitUnavailable {
				return err
			}
			s.c.warn("%s", err) // it is asked again
		}
		if !clock.Sleep(ctx, every) {
			return nil
		}
	}
}

// one decodes an item and prints it; show prints it for people.
func (s *session) one(raw json.RawMessage, idPath string, show func(item map[string]any) error) error {
	item, err := output.Parse(raw)
	if err != nil {
		return err
	}
	return s.out.One(raw, output.TextAt(item, idPath), func() error { return show(item) })
}

// done prints a sentence, or in other formats the answer of an action.
func (s *session) done(raw json.RawMessage, id, format string, args ...any) error {
	if s.c.api.quiet {
		return nil
	}
	return s.out.One(raw, id, func() error { return s.out.Say(format, args...) })
}

// fieldsOf makes lines of an item's fields, each given as name, path and kind.
func fieldsOf(item map[string]any, lines ...output.Column) []output.Field {
	fields := make([]output.Field, len(lines))
	for i, l := range lines {
		text := output.TextAt(item, l.Path)
		if l.Of != nil {
			text = l.Of(item)
		}
		fields[i] = output.Field{Name: l.Title, Text: text, Kind: l.Kind}
	}
	return fields
}

// table prints the items at a path of an item as a table under a title; nothing for none.
func (s *session) table(item map[string]any, path, title string, columns []output.Column) error {
	values, _ := output.At(item, path).([]any)
	if len(values) == 0 {
		return nil
	}
	rows := make([]json.RawMessage, len(values))
	for i, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("print %s: %w", title, err)
		}
		rows[i] = text
	}
	if err := s.out.Title(title); err != nil {
		return err
	}
	return s.out.List(columns).Add(rows)
}
