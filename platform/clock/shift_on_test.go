//go:build failpoint

package clock

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTheClockIsShifted runs itself again in a separate process, because the variables are
// read once.
func TestTheClockIsShifted(t *testing.T) {
	if os.Getenv(OffsetVariable) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheClockIsShifted$", "-test.v") //nolint:gosec // this test
		again.Env = append(os.Environ(), OffsetVariable+"=2m", StepVariable+"=-3m")
		said, err := again.CombinedOutput()
		require.NoError(t, err, "%s", said)
		require.Contains(t, string(said), "--- PASS: TestTheClockIsShifted")
		return
	}
	off := func() time.Duration { return time.Until(System()) }
	require.InDelta(t, 2*time.Minute, off(), float64(5*time.Second))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	require.Eventually(t, func() bool { return off() < 0 }, 10*time.Second, time.Millisecond)
	require.InDelta(t, -time.Minute, off(), float64(5*time.Second))
}
