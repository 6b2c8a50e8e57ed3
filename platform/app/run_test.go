package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.DiscardHandler)

// untilStopped is a part that runs until its stage is stopped, and records that.
func untilStopped(name string, stopped chan<- string) part {
	return part{name, onStop(func() { stopped <- name })}
}

func TestStagesStopOneAfterTheOther(t *testing.T) {
	stopped := make(chan string, 3)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, run(ctx, quiet, time.Minute,
		stage{untilStopped("http", stopped)}, stage{untilStopped("relay", stopped)}, stage{untilStopped("audit", stopped)}))
	require.Equal(t, []string{"http", "relay", "audit"}, []string{<-stopped, <-stopped, <-stopped})
}

func TestAPartThatFailsStopsTheOthersInOrder(t *testing.T) {
	broken := errors.New("the port is gone")
	stopped := make(chan string, 2)
	err := run(context.Background(), quiet, time.Minute,
		stage{{"http", func(context.Context) error { return broken }}},
		stage{untilStopped("relay", stopped)}, stage{untilStopped("audit", stopped)})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "http: the port is gone")
	require.Equal(t, []string{"relay", "audit"}, []string{<-stopped, <-stopped})
}

func TestAFailureWhileStoppingIsReported(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("the last flush failed")
	err := run(ctx, quiet, time.Minute, stage{{"audit", func(ctx context.Context) error { <-ctx.Done(); return broken }}})
	require.ErrorIs(t, err, broken)
}

func TestTheGraceTimeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	hangs := make(chan struct{})
	defer close(hangs)
	err := run(ctx, quiet, time.Millisecond, stage{{"work", func(context.Context) error { <-hangs; return nil }}})
	require.ErrorIs(t, err, errGrace)
}

func TestStoppingIsLogged(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var log bytes.Buffer
	require.NoError(t, run(ctx, slog.New(slog.NewTextHandler(&log, nil)), time.Second, stage{}))
	require.Contains(t, log.String(), "msg=stopping")
	require.Contains(t, log.String(), "msg=stopped")
}
