package cli

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/clock"
)

// param is a flag that becomes a parameter of a route.
type param struct {
	flag, name, help string
	time             bool     // a moment: a time, or how long ago
	isBool           bool     // true or absent
	oneOf            []string // the values there are, for completion
}

// filters are the flags of a list, or of what acts on a filter.
type filters struct {
	params []param
	texts  map[string]*string
	bools  map[string]*bool
}

const momentHelp = "a time such as 2026-01-31T14:00:00Z, or how long ago: 90m, 2h, 7d"

func addFilters(cmd *cobra.Command, params []param) *filters {
	f := &filters{params, map[string]*string{}, map[string]*bool{}}
	for _, p := range params {
		help := p.help
		switch {
		case p.isBool:
			f.bools[p.flag] = cmd.Flags().Bool(p.flag, false, help)
			continue
		case p.oneOf != nil:
			help += ": " + orList(p.oneOf)
		}
		if p.time {
			f.texts[p.flag] = new(string)
			cmd.Flags().Var((*moment)(f.texts[p.flag]), p.flag, help)
		} else {
			f.texts[p.flag] = cmd.Flags().String(p.flag, "", help)
		}
		if p.oneOf != nil {
			_ = cmd.RegisterFlagCompletionFunc(p.flag, cobra.FixedCompletions(p.oneOf, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	return f
}

// query returns the parameters. Its error names every flag that cannot be read.
func (f *filters) query() (url.Values, error) {
	query := url.Values{}
	var wrong []error
	for _, p := range f.params {
		if p.isBool {
			if *f.bools[p.flag] {
				query.Set(p.name, "true")
			}
			continue
		}
		text := *f.texts[p.flag]
		if text == "" {
			continue
		}
		if p.oneOf != nil && !contains(p.oneOf, text) {
			wrong = append(wrong, fmt.Errorf("--%s must be one of %s", p.flag, strings.Join(p.oneOf, ", ")))
		}
		query.Set(p.name, text)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, usage(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return query, nil
}

func contains(all []string, one string) bool {
	for _, each := range all {
		if each == one {
			return true
		}
	}
	return false
}

// fields returns the parameters as a body's fields.
func (f *filters) fields() (map[string]any, error) {
	query, err := f.query()
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	for _, p := range f.params {
		if value := query.Get(p.name); value != "" {
			fields[p.name] = value
			if p.isBool {
				fields[p.name] = true
			}
		}
	}
	return fields, nil
}

// given reports whether a flag was given.
func (f *filters) given() bool {
	for _, text := range f.texts {
		if *text != "" {
			return true
		}
	}
	for _, is := range f.bools {
		if *is {
			return true
		}
	}
	return false
}

// moment is a flag that holds a time: given as one, as a day, or by how long ago it was. It is
// kept in the API's form.
type moment string

func (m *moment) String() string { return string(*m) }

// Type is the value's name in the help.
func (*moment) Type() string { return "time" }

// Set reads a time.
func (m *moment) Set(text string) error {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			*m = moment(t.UTC().Format(time.RFC3339Nano))
			return nil
		}
	}
	var ago duration
	if ago.Set(text) != nil {
		return errors.New("write " + momentHelp)
	}
	*m = moment(clock.System().Add(-time.Duration(ago)).Format(time.RFC3339Nano))
	return nil
}
