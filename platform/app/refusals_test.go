package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/egress"
)

func TestRefusalsAreLoggedAsCounts(t *testing.T) {
	out := egress.New(egress.Config{})
	t.Cleanup(out.Close)
	for _, url := range []string{"http://10.0.0.1/?token=hunter2", "http://10.0.0.2/", "http://127.0.0.1/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
		require.NoError(t, err)
		_, err = out.Do(req, nil)
		require.ErrorAs(t, err, new(egress.Refusal))
	}
	var said bytes.Buffer
	g := &system{egressClient: out, log: slog.New(slog.NewTextHandler(&said, nil))}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	g.countRefusals(ctx, time.Hour)
	require.Equal(t, 2, strings.Count(said.String(), "requests to destinations were refused"), "one line for each reason, also for the last minute")
	require.Contains(t, said.String(), "refusal=private requests=2 since_start=2")
	require.Contains(t, said.String(), "refusal=loopback requests=1 since_start=1")
	require.NotContains(t, said.String(), "hunter2")

	said.Reset()
	require.Equal(t, out.Refused(), g.logRefusals(out.Refused()))
	require.Empty(t, said.String(), "nothing is logged twice")
}
