// Package telemetry is how the process tells what it does: one logger, whose lines
// carry the correlation id and the event id of the context they were written in.
// It decides on no level and opens no file; the program does.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// The fields that a context adds to a line.
const (
	CorrelationField = "correlation_id"
	EventField       = "event_id"
)

// levels are the names that LOG_LEVEL may have. The described service's logger knows
// trace, fatal and silent as well; they mean the nearest of ours.
var levels = map[string]slog.Level{
	"trace":  slog.LevelDebug,
	"debug":  slog.LevelDebug,
	"info":   slog.LevelInfo,
	"warn":   slog.LevelWarn,
	"error":  slog.LevelError,
	"fatal":  slog.LevelError,
	"silent": slog.LevelError + 100,
}

// ParseLevel reads a level's name, in any case. Its error names the levels.
func ParseLevel(text string) (slog.Level, error) {
	level, ok := levels[strings.ToLower(strings.TrimSpace(text))]
	if !ok {
		return slog.LevelInfo, fmt.Errorf("%q is no log level; use debug, info, warn or error", text)
	}
	return level, nil
}

// NewLogger writes lines of at least level to w: JSON objects, or key=value text for
// people. Times are UTC. A level that ParseLevel refuses counts as info, since the
// configuration has reported it by then.
func NewLogger(w io.Writer, level string, json bool) *slog.Logger {
	threshold, err := ParseLevel(level)
	if err != nil {
		threshold = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: inUTC}
	if json {
		return slog.New(contextual{slog.NewJSONHandler(w, options)})
	}
	return slog.New(contextual{slog.NewTextHandler(w, options)})
}

// IsTerminal reports whether a person reads f.
func IsTerminal(f *os.File) bool {
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}

func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

type key int

const (
	correlationKey key = iota
	eventKey
)

// WithCorrelation gives a context whose lines carry id as correlation_id.
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey, id)
}

// Correlation is the id that WithCorrelation put into ctx, or "".
func Correlation(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey).(string)
	return id
}

// WithEvent gives a context whose lines carry id as event_id.
func WithEvent(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, eventKey, id)
}

// Event is the id that WithEvent put into ctx, or "".
func Event(ctx context.Context) string {
	id, _ := ctx.Value(eventKey).(string)
	return id
}

// contextual adds what the context knows to every line. In a logger with a group
// the fields stand within the group, as all fields do.
type contextual struct{ slog.Handler }

// Handle adds the context's ids.
func (h contextual) Handle(ctx context.Context, r slog.Record) error {
	correlation, event := Correlation(ctx), Event(ctx)
	if correlation != "" || event != "" {
		r = r.Clone() // a handler must not change a record that others hold
	}
	if correlation != "" {
		r.AddAttrs(slog.String(CorrelationField, correlation))
	}
	if event != "" {
		r.AddAttrs(slog.String(EventField, event))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps adding them.
func (h contextual) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextual{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps adding them.
func (h contextual) WithGroup(name string) slog.Handler {
	return contextual{h.Handler.WithGroup(name)}
}
