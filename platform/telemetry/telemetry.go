// Package telemetry provides the process's logger, whose lines carry the correlation id of
// their context. It chooses no level and opens no file; the program does.
package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/mattn/go-isatty"
)

// The fields by which lines about the same webhook are found.
const (
	CorrelationField = "correlation_id"
	EventField       = "event_id"
	TraceField       = "trace_id"
	SpanField        = "span_id"
)

// levels are the valid names in LOG_LEVEL. trace, fatal and silent are accepted for
// compatibility and mean the nearest level.
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
		return slog.LevelInfo, fmt.Errorf("%q is not a log level; use debug, info, warn or error", text)
	}
	return level, nil
}

// SetLevel sets threshold to the named level, or to info if the name is invalid; the
// configuration has reported it before.
func SetLevel(threshold *slog.LevelVar, level string) {
	l, err := ParseLevel(level)
	if err != nil {
		l = slog.LevelInfo
	}
	threshold.Set(l)
}

// NewLogger writes lines of at least the threshold to w: JSON objects, or key=value text
// for people. Times are UTC.
func NewLogger(w io.Writer, threshold slog.Leveler, json bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: inUTC}
	w = plainWriter{w}
	if json {
		return slog.New(contextHandler{slog.NewJSONHandler(w, options)})
	}
	return slog.New(contextHandler{slog.NewTextHandler(w, options)})
}

// plainWriter escapes the control characters that the handlers leave as they are: DEL, and
// in JSON also U+0080 to U+009F, with one of which some terminals begin a command, and those
// that turn the direction of a text, so that a line would read as another. They occur in
// JSON's strings alone, where an escape means the same.
type plainWriter struct{ io.Writer }

// Write writes a line.
func (w plainWriter) Write(line []byte) (int, error) {
	if !slices.ContainsFunc(line, func(b byte) bool { return b >= 0x7f }) {
		return w.Writer.Write(line)
	}
	var plain bytes.Buffer
	for _, r := range string(line) { // the handler writes valid UTF-8
		if r >= 0x7f && r <= 0x9f || unicode.Is(unicode.Bidi_Control, r) {
			fmt.Fprintf(&plain, `\u%04x`, r)
		} else {
			plain.WriteRune(r)
		}
	}
	if _, err := w.Writer.Write(plain.Bytes()); err != nil {
		return 0, err
	}
	return len(line), nil
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool {
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}

func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

type correlationKey struct{}

type correlation struct {
	id        string
	generated bool
}

// WithCorrelation returns a context whose lines carry id as correlation_id.
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, correlation{id: id})
}

// WithGeneratedCorrelation is WithCorrelation for an id that the gateway has just generated for
// this request, so that nothing else has it.
func WithGeneratedCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, correlation{id: id, generated: true})
}

// Correlation returns the id that WithCorrelation put into ctx, or "".
func Correlation(ctx context.Context) string {
	c, _ := ctx.Value(correlationKey{}).(correlation)
	return c.id
}

// GeneratedCorrelation returns ctx's id if WithGeneratedCorrelation put it there, or "".
func GeneratedCorrelation(ctx context.Context) string {
	if c, _ := ctx.Value(correlationKey{}).(correlation); c.generated {
		return c.id
	}
	return ""
}

type traceKey struct{}

type span struct{ traceID, id string }

// WithTrace returns a context whose lines carry the ids of a trace and of a span in it.
func WithTrace(ctx context.Context, traceID, spanID string) context.Context {
	return context.WithValue(ctx, traceKey{}, span{traceID, spanID})
}

// TraceID returns the id of the trace that WithTrace put into ctx, or "".
func TraceID(ctx context.Context) string {
	in, _ := ctx.Value(traceKey{}).(span)
	return in.traceID
}

// contextHandler adds the context's correlation id and trace to every line. In a logger with a
// group they appear within the group, like all fields.
type contextHandler struct{ slog.Handler }

// Handle adds the ids.
func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	id, in := Correlation(ctx), span{}
	if of, ok := ctx.Value(traceKey{}).(span); ok {
		in = of
	}
	if id == "" && in.id == "" {
		return h.Handler.Handle(ctx, r)
	}
	r = r.Clone() // a handler must not change a record that is shared
	if id != "" {
		r.AddAttrs(slog.String(CorrelationField, id))
	}
	if in.id != "" {
		r.AddAttrs(slog.String(TraceField, in.traceID), slog.String(SpanField, in.id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps adding it.
func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps adding it.
func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
