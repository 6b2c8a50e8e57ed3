package app

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
)

func TestTheDemoGoesAsItShould(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Demo(context.Background(), devConfig(t), quiet, DevOptions{Out: &out}), out.String)
	require.Contains(t, out.String(), "4 of 4 went as they should")
	require.Contains(t, out.String(), "attempt 1 failed (500), attempt 2 success (202)")
	require.NotContains(t, out.String(), "WRONG")
}

func TestADemoThatGoesWrongSaysSo(t *testing.T) {
	var out bytes.Buffer
	err := Demo(context.Background(), devConfig(t, "MAX_PROCESSING_RETRIES", "1"), quiet, DevOptions{Out: &out})
	require.ErrorIs(t, err, errDemo)
	require.Contains(t, out.String(), "failed, attempt 1 failed (500)")
	require.Contains(t, out.String(), "3 of 4 went as they should")
}

func TestDev(t *testing.T) {
	dir := t.TempDir()
	first, api := startDev(t, devConfig(t), dir)
	v := visit(api)
	ctx := context.Background()

	t.Run("a second one on the same folder is refused", func(t *testing.T) {
		err := Dev(ctx, devConfig(t), quiet, DevOptions{DataDir: dir, Out: &bytes.Buffer{}})
		require.ErrorContains(t, err, "another gateway is using "+dir)
	})
	t.Run("the pending example is really delivered", func(t *testing.T) {
		require.NoError(t, until(ctx, func() (bool, error) {
			var events []struct{ Status string }
			err := v.read(ctx, "/events?externalEventId=evt_example_pending", &events)
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
			require.NoError(t, v.read(ctx, "/events?externalEventId="+id, &events))
			require.Len(t, events, 1, id)
			s, err := v.ended(ctx, events[0].ID)
			require.NoError(t, err)
			require.True(t, s.is(want.status, want.answers...), "%s: %s", id, s)
		}
		var entries []struct{ Actor string }
		require.NoError(t, v.read(ctx, "/audit-entries?action=event.seeded", &entries))
		require.Len(t, entries, 3)
	})

	body := v.body("kept", "")
	got, err := v.send(ctx, body, acme.credential(body))
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, got.status)
	first.stop()
	require.NoError(t, <-first.ended, "it stops in order")

	second, api := startDev(t, devConfig(t), dir)
	v = visit(api)
	s, err := v.ended(ctx, got.EventID)
	require.NoError(t, err)
	require.Equal(t, "processed", s.Event.Status, "what was accepted is there after a restart, and delivered on the new port")
	second.stop()
	require.NoError(t, <-second.ended)
}

func TestADeliveryUnderWayIsFinishedBeforeTheEnd(t *testing.T) {
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
	v := visit(api)
	var events []struct{ ID string }
	require.NoError(t, v.read(t.Context(), "/events?externalEventId=evt_example_pending", &events))
	require.Len(t, events, 1)
	s, err := v.ended(t.Context(), events[0].ID)
	require.NoError(t, err)
	require.True(t, s.is("processed", http.StatusNoContent), "one attempt, whose outcome was kept: %s", s)
	second.stop()
	require.NoError(t, <-second.ended)
}

func TestTheGreetingsWebhookIsAccepted(t *testing.T) {
	r, api := startDev(t, devConfig(t), t.TempDir())
	defer r.stop()
	require.Contains(t, r.said, "curl -i "+api+"/webhooks/acme")
	require.Contains(t, r.said, config.DemoKey)
	_, rest, _ := strings.Cut(r.said, "-d '")
	body, _, _ := strings.Cut(rest, "'")
	_, rest, _ = strings.Cut(r.said, acme.header+": ")
	signature, _, _ := strings.Cut(rest, "'")
	got, err := visit(api).send(context.Background(), []byte(body), signature)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, got.status)
}

func TestAKeyOfOnesOwnIsNotPrinted(t *testing.T) {
	r, _ := startDev(t, devConfig(t, "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83"), t.TempDir())
	defer r.stop()
	require.NotContains(t, r.said, "k-5f0c2b7e9a1d4c83")
}

func TestADamagedDataFolderIsRefused(t *testing.T) {
	for _, c := range []struct {
		sentence string
		damage   func(dir string) error
	}{
		{"a database that is none", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "gateway.db"), []byte(strings.Repeat("no database ", 100)), 0o600)
		}},
		{"a file where the folder should be", func(dir string) error {
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

func TestATakenPortIsNamed(t *testing.T) {
	r, api := startDev(t, devConfig(t), t.TempDir())
	defer r.stop()
	_, rest, _ := strings.Cut(api, "127.0.0.1:")
	port, _, _ := strings.Cut(rest, "/")
	err := Dev(context.Background(), devConfig(t, "APP_PORT", port), quiet, DevOptions{DataDir: t.TempDir(), Out: &bytes.Buffer{}})
	require.ErrorContains(t, err, "choose another port with --port")
}
