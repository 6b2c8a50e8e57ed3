package app

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/testkit"
)

func TestDevOverTLS(t *testing.T) {
	authority, dir := testkit.NewAuthority(t), t.TempDir()
	pair := authority.Issue(time.Hour, time.Hour)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	require.NoError(t, os.WriteFile(cert, pair.Cert, 0o600))
	require.NoError(t, os.WriteFile(key, pair.Key, 0o600))
	r, api := startDev(t, devConfig(t, "TLS_CERT_FILE", cert, "TLS_KEY_FILE", key), filepath.Join(dir, "data"))
	require.Regexp(t, `^https://127\.0\.0\.1:\d+/api/v1$`, api)
	require.Contains(t, r.output, "acme delivers to "+api+"/internal/delivery-sink/acme")
	require.NotContains(t, r.output, "http://")
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.Pool()}}
	client := &http.Client{Timeout: 10 * time.Second, Transport: testkit.CheckedTransport{RoundTripper: transport}}
	res, err := client.Get(api + "/livez")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	transport.CloseIdleConnections()
	r.stop()
	require.NoError(t, <-r.ended)
}

func TestTheDemoUsesPlainHTTP(t *testing.T) {
	t.Setenv("TLS_CERT_FILE", "/of/another/program.crt")
	t.Setenv("TLS_KEY_FILE", "/of/another/program.key")
	flags := map[string]string{}
	DemoSettings(flags)
	cfg, err := config.Load(config.Options{Role: config.Dev, Flags: flags, Path: listedFile(t)})
	require.NoError(t, err)
	require.Empty(t, cfg.Listeners.Public)
}
