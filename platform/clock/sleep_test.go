package clock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSleep(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration // of the context
		active  bool
		took    time.Duration
	}{
		{"a context that lasts longer", 2 * time.Minute, true, time.Minute},
		{"a context that ends before", time.Second, false, time.Second},
		{"a context that has ended", 0, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				began := time.Now()
				require.Equal(t, c.active, Sleep(ctx, time.Minute))
				require.Equal(t, c.took, time.Since(began))
			})
		})
	}
}
