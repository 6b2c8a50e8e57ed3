package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/testkit"
)

func TestSIGHUPReloadsSettings(t *testing.T) {
	said := &testkit.Log{}
	g := recordsOf{t: t, url: testkit.SQLite(t)}.under(newKey)
	g.log = slog.New(slog.NewTextHandler(said, nil))
	cfg := devConfig(t)
	asked, levels := make(chan os.Signal), []string{}
	next, wrong := cfg, error(nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	ctx = WithReloading(ctx, Reloading{Signals: asked, Level: func(name string) { levels = append(levels, name) },
		Load: func() (config.Config, error) { return next, wrong }})
	go func() { done <- g.reload(ctx) }()
	hup := func(says string) {
		before := strings.Count(said.String(), says)
		asked <- syscall.SIGHUP
		require.NoError(t, until(t.Context(), func() (bool, error) { return strings.Count(said.String(), says) > before, nil }))
	}
	reaches := func(url string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		require.NoError(t, err)
		_, err = g.egressClient.Do(req, nil)
		return err
	}
	require.NotErrorIs(t, reaches("http://127.0.0.1:1/"), egress.Loopback)

	next.Log.Level, next.EgressAllow = "debug", egress.Allow{}
	next.Settings = slices.Clone(cfg.Settings)
	for i, s := range next.Settings {
		if s.Name == "LOG_LEVEL" || s.Name == "APP_PORT" {
			next.Settings[i].Value = "changed"
		}
	}
	next.Providers = []config.Provider{{Name: "initech", Definition: []byte(`{"scheme":"token","signature":{"header":"X-T"},"event":{"type":"text:x"}}`)}}
	hup("reloaded the log level")
	require.Equal(t, []string{"debug"}, levels)
	shown := g.settings.current
	require.Equal(t, []string{"initech"}, shown.Providers)
	for _, s := range shown.Settings {
		require.Equal(t, s.Name == "LOG_LEVEL", s.Value == "changed", "%s: a port needs a restart", s.Name)
	}
	require.ErrorIs(t, reaches("http://127.0.0.1:1/"), egress.Loopback, "the new rules apply")
	_, known := g.providers.Spec("initech")
	require.True(t, known)

	wrong = errors.New("LOG_LEVEL: it is unknown")
	hup("still using the previous ones")
	require.Len(t, levels, 1)
	_, known = g.providers.Spec("initech")
	require.True(t, known)
	stop()
	require.NoError(t, <-done)
}
