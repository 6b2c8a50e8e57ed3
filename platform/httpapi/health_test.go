package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

type healthData struct {
	Status    string    `json:"status"`
	Timestamp time.Time `json:"timestamp"`
	Checks    map[string]struct {
		Status string `json:"status"`
	} `json:"checks"`
}

func healthOf(t *testing.T, a answer) (d healthData) {
	t.Helper()
	require.True(t, *a.body.Success)
	require.NoError(t, json.Unmarshal(a.body.Data, &d))
	require.WithinDuration(t, clock.System(), d.Timestamp, time.Minute)
	return d
}

func healthy(context.Context) error { return nil }

func failing(context.Context) error { return errors.New("dial tcp 10.1.2.3:5432: refused") }

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		name   string
		redis  httpapi.Check
		status int
		state  string
		check  string
	}{
		{"all checks pass", healthy, 200, "ok", "ok"},
		{"one fails", failing, 503, "degraded", "error"},
		{"one panics", func(context.Context) error { panic("burst") }, 503, "degraded", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := setup(t, httpapi.Config{}, nil)
			h.Health(map[string]httpapi.Check{"postgres": healthy, "redis": c.redis, "rabbitmq": healthy}, healthy)
			a := h.do(t, get("/api/v1/health"))
			require.Equal(t, c.status, a.status)
			d := healthOf(t, a)
			require.Equal(t, c.state, d.Status)
			require.Len(t, d.Checks, 3)
			require.Equal(t, "ok", d.Checks["postgres"].Status)
			require.Equal(t, c.check, d.Checks["redis"].Status)
			require.Equal(t, "ok", d.Checks["rabbitmq"].Status)
			require.NotContains(t, a.text, "10.1.2.3")
			if c.status != 200 {
				require.Contains(t, h.log.String(), `"check":"redis"`)
			}
		})
	}
}

func TestHealthRespondsInTimeWhenAllChecksHang(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var started atomic.Int32
	hang := func(context.Context) error { // ignores its context
		started.Add(1)
		<-release
		return nil
	}
	h := setup(t, httpapi.Config{}, nil)
	h.Health(map[string]httpapi.Check{"postgres": hang, "redis": hang, "rabbitmq": healthy}, hang)
	start := clock.System()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a := h.do(t, get("/api/v1/health"))
			require.Equal(t, http.StatusServiceUnavailable, a.status)
			require.Equal(t, "5", a.header.Get("Retry-After"))
			require.Equal(t, "error", healthOf(t, a).Checks["redis"].Status)
		})
	}
	wg.Wait()
	require.Less(t, clock.Now(clock.System).Since(start), 2*2*time.Second, "the checks run concurrently")
	require.EqualValues(t, 2, started.Load(), "each dependency is checked once for concurrent requests")
	require.Equal(t, http.StatusOK, h.do(t, get("/livez")).status, "the process is alive")
	require.Equal(t, http.StatusServiceUnavailable, h.do(t, get("/readyz")).status)
}

func TestProbes(t *testing.T) {
	var ready httpapi.Check = healthy
	h := setup(t, httpapi.Config{}, nil)
	h.Health(nil, func(ctx context.Context) error { return ready(ctx) })
	expect := func(live, readiness int, state string) {
		t.Helper()
		for _, base := range []string{"", "/api/v1"} {
			require.Equal(t, live, h.do(t, get(base+"/livez")).status)
			a := h.do(t, get(base+"/readyz"))
			require.Equal(t, readiness, a.status)
			require.Equal(t, state, healthOf(t, a).Status)
			require.NotContains(t, a.text, "10.1.2.3")
		}
	}
	expect(200, 200, "ok")
	require.NotContains(t, h.log.String(), `"level":"INFO"`, "probes are too frequent to be logged")
	ready = failing
	expect(200, 503, "error")
	ready = func(context.Context) error {
		return errors.Join(errors.New("10.1.2.3 is away"), fmt.Errorf("%w: queue x", httpapi.ErrMisconfigured))
	}
	expect(200, 503, "misconfigured")
	require.Contains(t, h.log.String(), "queue x", "the log says what is wrong")
	ready = healthy
	expect(200, 200, "ok")
	h.Drain()
	expect(200, 503, "draining")
}
