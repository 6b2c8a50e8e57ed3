package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Format is how results are written.
type Format string

// The formats.
const (
	Table Format = "table" // for people, fitted to the terminal
	Wide  Format = "wide"  // a table with all columns, as wide as it gets
	JSON  Format = "json"  // as the API gives it
	JSONL Format = "jsonl" // one line for each item
	YAML  Format = "yaml"
	CSV   Format = "csv" // all columns, with a header
)

// Formats lists all of them.
var Formats = []Format{Table, Wide, JSON, JSONL, YAML, CSV}

// ParseFormat reads a format's name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats, f) {
		return f, nil
	}
	names := make([]string, len(Formats))
	for i, f := range Formats {
		names[i] = string(f)
	}
	return "", fmt.Errorf("must be one of %s", strings.Join(names, ", "))
}

// Options say how to write.
type Options struct {
	Format Format
	Quiet  bool // ids alone
	UTC    bool // absolute times
	Width  int  // columns of the terminal; 0: no limit
	Colour bool
	Now    func() time.Time
}

// Printer writes results.
type Printer struct {
	raw  io.Writer // for text that was cleaned
	safe *Writer   // for all other
	o    Options
}

// New makes a printer on w.
func New(w io.Writer, o Options) *Printer { return &Printer{w, NewWriter(w), o} }

// ForPeople reports whether tables and sentences are written.
func (p *Printer) ForPeople() bool {
	return (p.o.Format == Table || p.o.Format == Wide) && !p.o.Quiet
}

// Say writes a sentence for people; nothing in other formats.
func (p *Printer) Say(format string, args ...any) error {
	if !p.ForPeople() {
		return nil
	}
	_, err := fmt.Fprintf(p.safe, format+"\n", args...)
	return err
}

// Kind is what a column holds.
type Kind int

// The kinds of columns.
const (
	Text Kind = iota
	ID        // never shortened
	Time
	Age   // a Time whose title in tables is AGE
	URL   // shortened in its middle
	State // coloured by its meaning
	Number
	Millis
	Body // bytes in base64, shown as text
)

// Column is a column of a table.
type Column struct {
	Title string
	Path  string // in the item's JSON, with dots
	Kind  Kind
	Wide  bool                                // only in wide tables and CSV
	Of    func(item map[string]any) string    // in place of Path
	Apply func(text string) (replaced string) // on the text of Path
}

// colours of states.
const (
	red, green, yellow, dim = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m"
	bold, plain             = "\x1b[1m", "\x1b[0m"
)

var stateColours = map[string]string{
	"processed": green, "success": green, "succeeded": green, "completed": green, "active": green, "enabled": green, "closed": green, "ok": green, "resolved": green, "delivered": green,
	"failed": red, "fail": red, "warn": yellow, "breaker open": red, "breaker half_open": yellow, "exhausted": red, "refused": red, "open": red, "unreadable": red, "error": red, "lost": red, "degraded": red,
	"retrying": yellow, "pending": yellow, "processing": yellow, "queued": yellow, "running": yellow, "paused": yellow, "half_open": yellow, "disabled": yellow, "off": yellow, "cancelled": yellow, "requeued": yellow,
	"removed": dim, "revoked": dim, "expired": dim, "stopped": dim,
}

func (p *Printer) paint(kind Kind, text, padded string) string {
	colour := stateColours[text]
	if !p.o.Colour || kind != State || colour == "" {
		return padded
	}
	return strings.Replace(padded, text, colour+text+plain, 1)
}

// Relative writes a time by its distance from now, or absolutely.
func (p *Printer) Relative(t time.Time) string {
	if p.o.UTC {
		return t.UTC().Format("2006-01-02T15:04:05Z")
	}
	switch d := p.o.Now().Sub(t); {
	case d <= -time.Second:
		return "in " + Span(-d)
	case d < time.Second:
		return "now"
	default:
		return Span(d) + " ago"
	}
}

// Span writes a duration in the unit that reads best.
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
