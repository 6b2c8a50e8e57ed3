package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong: the variable, what is wrong with it, and
// what to do.
type Mistake struct {
	Name    string `json:"name"`
	Where   string `json:"where"` // the key and the file where it was given in one; "" elsewhere
	Problem string `json:"problem"`
	Fix     string `json:"fix"`
}

// NotSet is the problem of a setting that is required and was not given.
const NotSet = "it is not set"

// Mistakes is the error of Load: all of them, one line each.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	var b strings.Builder
	b.WriteString("the configuration is wrong:")
	for _, one := range m {
		name := one.Name
		if one.Where != "" {
			name = one.Where
		}
		fmt.Fprintf(&b, "\n  %s: %s; %s", name, one.Problem, one.Fix)
	}
	return b.String()
}

func (m *Mistakes) add(name, problem, fix string, args ...any) {
	*m = append(*m, Mistake{Name: name, Problem: problem, Fix: fmt.Sprintf(fix, args...)})
}

// has reports whether the variable is named already, so that what follows from
// its mistake is not reported as another.
func (m Mistakes) has(name string) bool {
	for _, one := range m {
		if one.Name == name {
			return true
		}
	}
	return false
}

// problem is a parser's error: what is wrong and what to do, without the name.
type problem struct{ what, fix string }

func (p problem) Error() string { return p.what + "; " + p.fix }

// wrong makes a problem. Parsers of secrets give no part of the text in it.
func wrong(what, fix string, args ...any) error { return problem{what, fmt.Sprintf(fix, args...)} }
