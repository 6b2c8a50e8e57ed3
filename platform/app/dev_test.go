package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/secret"
)

func TestTheDemoSucceeds(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Demo(context.Background(), devConfig(t), quiet, DevOptions{Out: &out}), out.String)
	require.Contains(t, out.String(), "4 of 4 as expected")
	require.Contains(t, out.String(), "attempt 1 failed (500), attempt 2 success (202)")
	require.NotContains(t, out.String(), "WRONG")
}

func TestAFailedDemoReportsIt(t *testing.T) {
	var out bytes.Buffer
	err := Demo(context.Background(), devConfig(t, "MAX_PROCESSING_RETRIES", "1"), quiet, DevOptions{Out: &out})
	require.ErrorIs(t, err, errDemo)
	require.Contains(t, out.String(), "failed, attempt 1 failed (500)")
	require.Contains(t, out.String(), "3 of 4 as expected")
}

func TestDev(t *testing.T) {
	dir := t.TempDir()
	first, api := startDev(t, devConfig(t), dir)
	c := visit(api)
	ctx := context.Background()

	t.Run("a second one on the same folder is refused", func(t *testing.T) {
		err := Dev(ctx, devConfig(t), quiet, DevOptions{DataDir: dir, Out: &bytes.Buffer{}})
		require.ErrorContains(t, err, "another gateway is using "+dir)
	})
	t.Run("the pending example is really delivered", func(t *testing.T) {
		require.NoError(t, until(ctx, func() (bool, error) {
			var events []struct{ Status string }
			err := c.read(ctx, "/events?externalEventId=evt_example_pending", &events)
			return len(events) == 1 && events[0].Status == "processed", err
		}))
	})
	t.Run("the finished ones have their history", func(t *testing.T) {
		for id, want := range map[string]struct {
			status  string
			answers []int
		}{
			"evt_example_delivered": {"processed", []int{202}},
			"evt_example_retried":   {"processed", []int{503, 202}},
			"evt_example_failed":    {"failed", []int{500, 410}},
		} {
			var events []struct{ ID string }
			require.NoError(t, c.read(ctx, "/events?externalEventId="+id, &events))
			require.Len(t, events, 1, id)
			s, err := c.waitUntilFinished(ctx, events[0].ID)
			require.NoError(t, err)
			require.True(t, s.matches(want.status, want.answers...), "%s: %s", id, s)
		}
		var entries []struct{ Actor string }
		require.NoError(t, c.read(ctx, "/audit-entries?action=event.seeded", &entries))
		require.Len(t, entries, 3)
	})

	body := c.body("kept", "")
	got, err := c.send(ctx, body, acme.credential(body))
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, got.status)
	first.stop()
	require.NoError(t, <-first.ended, "it stops cleanly")

	second, api := startDev(t, devConfig(t), dir)
	c = visit(api)
	s, err := c.waitUntilFinished(ctx, got.EventID)
	require.NoError(t, err)
	require.Equal(t, "processed", s.Event.Status, "accepted events survive a restart, and are delivered on the new port")
	second.stop()
	require.NoError(t, <-second.ended)
}

func TestADeliveryInProgressIsFinishedBeforeShutdown(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(arrived); <-release })
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	dir := t.TempDir()
	first, _ := startDevTo(t, devConfig(t), dir, receiver.URL)
	<-arrived // the pending example
	first.stop()
	close(release)
	require.NoError(t, <-first.ended)

	second, api := startDevTo(t, devConfig(t), dir, receiver.URL)
	c := visit(api)
	var events []struct{ ID string }
	require.NoError(t, c.read(t.Context(), "/events?externalEventId=evt_example_pending", &events))
	require.Len(t, events, 1)
	s, err := c.waitUntilFinished(t.Context(), events[0].ID)
	require.NoError(t, err)
	require.True(t, s.matches("processed", http.StatusNoContent), "one attempt, whose outcome was recorded: %s", s)
	second.stop()
	require.NoError(t, <-second.ended)
}

func TestTheWebhookInTheGreetingIsAccepted(t *testing.T) {
	r, api := startDev(t, devConfig(t), t.TempDir())
	defer r.stop()
	require.Contains(t, r.output, "curl -i "+api+"/webhooks/acme")
	require.Contains(t, r.output, config.DemoKey)
	_, rest, _ := strings.Cut(r.output, "-d '")
	body, _, _ := strings.Cut(rest, "'")
	_, rest, _ = strings.Cut(r.output, acme.header+": ")
	signature, _, _ := strings.Cut(rest, "'")
	got, err := visit(api).send(context.Background(), []byte(body), signature)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, got.status)
}

func TestAConfiguredKeyIsNotPrinted(t *testing.T) {
	r, _ := startDev(t, devConfig(t, "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83"), t.TempDir())
	defer r.stop()
	require.NotContains(t, r.output, "k-5f0c2b7e9a1d4c83")
}

func TestADamagedDataFolderIsRefused(t *testing.T) {
	for _, c := range []struct {
		sentence string
		damage   func(dir string) error
	}{
		{"an invalid database", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "gateway.db"), []byte(strings.Repeat("no database ", 100)), 0o600)
		}},
		{"a file instead of the folder", func(dir string) error {
			return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600))
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			require.NoError(t, os.MkdirAll(dir, 0o700))
			require.NoError(t, c.damage(dir))
			require.Error(t, Dev(context.Background(), devConfig(t), quiet, DevOptions{DataDir: dir, Out: &bytes.Buffer{}}))
		})
	}
}

func TestOnlyTheOwnerCanReadDevsRecords(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gateway.db")
	require.NoError(t, os.WriteFile(path, nil, 0o644)) //nolint:gosec // as an earlier version created it
	_, api := startDev(t, devConfig(t), dir)
	for _, name := range []string{path, path + "-wal", path + "-shm", filepath.Join(dir, "secrets.key")} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	rebound, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api+"/events", nil)
	require.NoError(t, err)
	rebound.Host = "evil.example:3000"
	rebound.Header.Set("x-internal-api-key", config.DemoKey)
	answer, err := http.DefaultClient.Do(rebound)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode, "a web page whose name resolves to this machine cannot read it")
}

func TestDevWarnsIfOthersCanReachIt(t *testing.T) {
	for _, c := range []struct {
		host, key string
		warns     bool
	}{
		{"127.0.0.1", config.DemoKey, false}, {"::1", config.DemoKey, false}, {"localhost", config.DemoKey, false},
		{"0.0.0.0", config.DemoKey, true}, {"::", config.DemoKey, true}, {"192.168.1.5", config.DemoKey, true}, {"gateway.example.com", config.DemoKey, true},
		{"0.0.0.0", "a-key-of-ones-own-that-is-long", false},
	} {
		var said bytes.Buffer
		warnOfDemoKey(config.Config{HTTP: config.HTTP{Host: c.host}, ManagementKey: secret.New(c.key)}, slog.New(slog.NewTextHandler(&said, nil)))
		require.Equal(t, c.warns, strings.Contains(said.String(), "set MANAGEMENT_API_KEY"), c.host)
	}
}

func TestAPortInUseIsReported(t *testing.T) {
	r, api := startDev(t, devConfig(t), t.TempDir())
	defer r.stop()
	_, rest, _ := strings.Cut(api, "127.0.0.1:")
	port, _, _ := strings.Cut(rest, "/")
	err := Dev(context.Background(), devConfig(t, "APP_PORT", port), quiet, DevOptions{DataDir: t.TempDir(), Out: &bytes.Buffer{}})
	require.ErrorContains(t, err, "choose another port with --port")
}
