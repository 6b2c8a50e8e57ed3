package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func loadTraces(t *testing.T, sets ...map[string]string) Traces {
	t.Helper()
	setup(t, append([]map[string]string{enough}, sets...)...)
	c, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	return c.Traces
}

// TestWhenTracesAreOn: only where somebody names an exporter or an endpoint.
func TestWhenTracesAreOn(t *testing.T) {
	const general, own, exporter, disabled = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"
	for _, c := range []struct {
		set map[string]string
		url string // "" for off
	}{
		{nil, ""},
		{map[string]string{exporter: "none", general: "http://c:4318"}, ""},
		{map[string]string{disabled: "true", general: "http://c:4318", exporter: "otlp"}, ""},
		{map[string]string{exporter: "otlp"}, "http://localhost:4318/v1/traces"},
		{map[string]string{general: "http://c:4318"}, "http://c:4318/v1/traces"},
		{map[string]string{general: "https://c/otlp/"}, "https://c/otlp/v1/traces"},
		{map[string]string{general: "http://c:4318", own: "http://t:4318/take"}, "http://t:4318/take"},
		{map[string]string{own: "http://t:4318"}, "http://t:4318"},
	} {
		traces := loadTraces(t, c.set)
		require.Equal(t, c.url != "", traces.On(), "%v", c.set)
		if c.url != "" {
			require.Equal(t, c.url, traces.URL().Reveal())
		}
	}
}

func TestTheShareOfEventsThatAreTraced(t *testing.T) {
	for sampler, want := range map[string]float64{"": 1, "always_on": 1, "parentbased_always_on": 1, "always_off": 0, "parentbased_always_off": 0,
		"traceidratio": 0.01, "parentbased_traceidratio": 0.01} {
		require.InDelta(t, want, loadTraces(t, map[string]string{"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.01"}).Ratio(), 0, sampler)
	}
}

// TestTheSettingsForTracesWin over those for all signals, one by one.
func TestTheSettingsForTracesWin(t *testing.T) {
	traces := loadTraces(t, map[string]string{
		"OTEL_EXPORTER_OTLP_TIMEOUT": "1000", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2000", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20x%3D, b = 2 ,",
		"OTEL_RESOURCE_ATTRIBUTES": "a.b=c%20d,e=",
	})
	require.Equal(t, OTLP{Timeout: 2 * time.Second, Compression: "gzip",
		Headers: map[string]secret.Value{"Authorization": secret.New("Bearer x="), "B": secret.New("2")}}, traces.Settings())
	require.Equal(t, map[string]string{"a.b": "c d", "e": ""}, traces.Resource)
	require.Equal(t, 10*time.Second, loadTraces(t, nil).Settings().Timeout)
}

func TestWrongSettingsOfTraces(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("s3cret"), 0o600))
	half := filepath.Join(t.TempDir(), "cert.pem")
	require.NoError(t, os.WriteFile(half, []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), 0o600))
	on := map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}
	for name, values := range map[string][]string{
		"OTEL_TRACES_EXPORTER": {"zipkin", "console", "otlp,none"}, "OTEL_TRACES_SAMPLER": {"jaeger_remote", "ALWAYS_ON"},
		"OTEL_TRACES_SAMPLER_ARG":     {"2", "-0.1", "NaN", "1%"},
		"OTEL_EXPORTER_OTLP_ENDPOINT": {"collector:4318", "unix:///s3cret", "http://"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": {"grpc", "http/json"},
		"OTEL_EXPORTER_OTLP_HEADERS": {"s3cret", "=s3cret", "a=%zz", "a b=s3cret", "a=s3cret%0a"}, "OTEL_RESOURCE_ATTRIBUTES": {"x"},
		"OTEL_EXPORTER_OTLP_COMPRESSION": {"zstd"}, "OTEL_EXPORTER_OTLP_TIMEOUT": {"0", "10s"}, "OTEL_EXPORTER_OTLP_CERTIFICATE": {"/nowhere", empty},
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": {half}, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": {empty},
		"OTEL_BSP_MAX_QUEUE_SIZE": {"0"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": {"4096"}, "OTEL_SDK_DISABLED": {"yes"},
	} {
		for _, value := range values {
			setup(t, enough, on, map[string]string{name: value})
			_, err := Load(Options{Role: Serve})
			var mistakes Mistakes
			require.True(t, errors.As(err, &mistakes), "%s=%s", name, value)
			require.Len(t, mistakes, 1, "%s=%s: %s", name, value, err)
			require.Equal(t, name, mistakes[0].Name)
			require.NotContains(t, err.Error(), "s3cret", name)
		}
	}
}

// TestAnotherProgramsProtocolIsNoMistakeWhileTracesAreOff: a cluster may give every program a
// protocol that this one does not speak.
func TestAnotherProgramsProtocolIsNoMistakeWhileTracesAreOff(t *testing.T) {
	require.False(t, loadTraces(t, map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).On())
}
