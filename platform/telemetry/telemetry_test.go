package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	log := telemetry.NewLogger(&out, "warn", true)
	log.Info("no")
	require.Empty(t, out.String())
	log.Warn("yes")
	require.Contains(t, out.String(), "yes")

	out.Reset()
	log = telemetry.NewLogger(&out, "nonsense", true)
	log.Debug("no")
	require.Empty(t, out.String())
	log.Info("yes")
	require.Contains(t, out.String(), "yes", "a level that is none counts as info")
}

func TestLinesCarryWhatTheContextKnows(t *testing.T) {
	ctx := context.Background()
	both := telemetry.WithEvent(telemetry.WithCorrelation(ctx, "corr-1"), "event-1")
	for _, c := range []struct {
		name string
		ctx  context.Context
		want map[string]any
	}{
		{"nothing", ctx, map[string]any{}},
		{"the correlation", telemetry.WithCorrelation(ctx, "corr-1"), map[string]any{"correlation_id": "corr-1"}},
		{"the event", telemetry.WithEvent(ctx, "event-1"), map[string]any{"event_id": "event-1"}},
		{"both", both, map[string]any{"correlation_id": "corr-1", "event_id": "event-1"}},
		{"the last one set", telemetry.WithCorrelation(both, "corr-2"), map[string]any{"correlation_id": "corr-2", "event_id": "event-1"}},
		{"an empty one is none", telemetry.WithCorrelation(ctx, ""), map[string]any{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, "info", true).With("module", "delivery")
			log.InfoContext(c.ctx, "sent", "attempt", 1)
			var line map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &line))
			delete(line, "time")
			c.want["level"], c.want["msg"], c.want["module"], c.want["attempt"] = "INFO", "sent", "delivery", 1.0
			require.Equal(t, c.want, line)
		})
	}
	require.Equal(t, "corr-1", telemetry.Correlation(both))
	require.Equal(t, "event-1", telemetry.Event(both))
	require.Empty(t, telemetry.Correlation(ctx))
	require.Empty(t, telemetry.Event(ctx))
}

func TestTimesAreUTC(t *testing.T) {
	for _, json := range []bool{true, false} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, "info", json)
		zone := time.FixedZone("elsewhere", 3*60*60)
		record := slog.NewRecord(time.Date(2026, 1, 1, 2, 0, 0, 0, zone), slog.LevelInfo, "m", 0)
		record.AddAttrs(slog.Time("due", time.Date(2026, 1, 1, 5, 0, 0, 0, zone)))
		require.NoError(t, log.Handler().Handle(context.Background(), record))
		require.Contains(t, out.String(), "2025-12-31T23:00:00")
		require.Contains(t, out.String(), "2026-01-01T02:00:00")
		require.NotContains(t, out.String(), "+03:00")
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	require.False(t, telemetry.IsTerminal(f))
}
