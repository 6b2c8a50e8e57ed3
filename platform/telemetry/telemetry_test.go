package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/telemetry"
)

func TestParseLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		"INFO": slog.LevelInfo, "Warn\n": slog.LevelWarn, "trace": slog.LevelDebug, "fatal": slog.LevelError,
	} {
		level, err := telemetry.ParseLevel(text)
		require.NoError(t, err, text)
		require.Equal(t, want, level, text)
	}
	for _, text := range []string{"", "warning", "3", "debug,info"} {
		_, err := telemetry.ParseLevel(text)
		require.ErrorContains(t, err, "use debug, info, warn or error", text)
	}
	silent, err := telemetry.ParseLevel("silent")
	require.NoError(t, err)
	require.Greater(t, silent, slog.LevelError)
}

func TestLinesBelowTheLevelAreNotWritten(t *testing.T) {
	var out bytes.Buffer
	threshold := new(slog.LevelVar)
	log := telemetry.NewLogger(&out, threshold, true)
	telemetry.SetLevel(threshold, "warn")
	log.Info("no")
	require.Empty(t, out.String())
	log.Warn("yes")
	require.Contains(t, out.String(), "yes")

	out.Reset()
	telemetry.SetLevel(threshold, "nonsense")
	log.Debug("no")
	require.Empty(t, out.String())
	log.Info("yes")
	require.Contains(t, out.String(), "yes", "an invalid level counts as info")
}

func TestLinesCarryTheCorrelation(t *testing.T) {
	ctx := context.Background()
	known := telemetry.WithCorrelation(ctx, "corr-1")
	for _, c := range []struct {
		name string
		ctx  context.Context
		want map[string]any
	}{
		{"nothing", ctx, map[string]any{}},
		{"the correlation", known, map[string]any{"correlation_id": "corr-1"}},
		{"the last one set", telemetry.WithCorrelation(known, "corr-2"), map[string]any{"correlation_id": "corr-2"}},
		{"an empty id is omitted", telemetry.WithCorrelation(ctx, ""), map[string]any{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, slog.LevelInfo, true).With("module", "delivery")
			log.InfoContext(c.ctx, "sent", "attempt", 1)
			var line map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &line))
			delete(line, "time")
			c.want["level"], c.want["msg"], c.want["module"], c.want["attempt"] = "INFO", "sent", "delivery", 1.0
			require.Equal(t, c.want, line)
		})
	}
	require.Equal(t, "corr-1", telemetry.Correlation(known))
	require.Empty(t, telemetry.Correlation(ctx))
}

func TestTimesAreUTC(t *testing.T) {
	for _, json := range []bool{true, false} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, slog.LevelInfo, json)
		zone := time.FixedZone("elsewhere", 3*60*60)
		record := slog.NewRecord(time.Date(2026, 1, 1, 2, 0, 0, 0, zone), slog.LevelInfo, "m", 0)
		record.AddAttrs(slog.Time("due", time.Date(2026, 1, 1, 5, 0, 0, 0, zone)))
		require.NoError(t, log.Handler().Handle(context.Background(), record))
		require.Contains(t, out.String(), "2025-12-31T23:00:00")
		require.Contains(t, out.String(), "2026-01-01T02:00:00")
		require.NotContains(t, out.String(), "+03:00")
	}
}

// TestALineCannotBeForged logs what could end a line, begin another or command a terminal, in
// every place of a line and both formats.
func TestALineCannotBeForged(t *testing.T) {
	for _, hostile := range []string{
		"a\nlevel=ERROR msg=forged", "a\r\nforged", "a\rforged", "\x1b[2Jforged", "\u009b2Jforged", "a\u0085forged", "a\u2028forged", "\x7fforged", "\x00forged",
		"a\u202eforged", "a\u2066forged", "a\u2029forged", "\"}\n{\"level\":\"ERROR\"", "a\xffforged", "\x1b]8;;http://x\x07forged",
	} {
		for _, asJSON := range []bool{true, false} {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, slog.LevelInfo, asJSON)
			ctx := telemetry.WithCorrelation(context.Background(), hostile)
			log.With("with", hostile).WithGroup("g").InfoContext(ctx, hostile, hostile, "key", "string", hostile, "error", errors.New(hostile), "list", []string{hostile},
				"any", struct{ A string }{hostile}, "bytes", []byte(hostile), slog.Group("group", "in", hostile))
			text := out.String()
			require.Equal(t, 1, strings.Count(text, "\n"), "%q", text)
			require.True(t, strings.HasSuffix(text, "\n"))
			for _, r := range strings.TrimSuffix(text, "\n") {
				require.False(t, unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control), "%q has %q", text, r)
			}
			if asJSON {
				var line map[string]any
				require.NoError(t, json.Unmarshal(out.Bytes(), &line), text)
				require.Equal(t, strings.ToValidUTF8(hostile, "\ufffd"), line["msg"])
			}
		}
	}
}

func TestAFileIsNotATerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	require.False(t, telemetry.IsTerminal(f))
}
