package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cli/target"
)

// loginServers are an issuer that grants at the first question, and a gateway that takes its
// tokens alone.
func loginServers(t *testing.T) (issuer, gateway string, accept *atomic.Bool) {
	t.Helper()
	var url string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": url, "token_endpoint": url + "/token", "device_authorization_endpoint": url + "/device",
				"revocation_endpoint": url + "/revoke"})
		case "/device":
			_, _ = fmt.Fprintf(w, `{"device_code":"d-1","user_code":"WDJB-MJHT\u001b[2J","verification_uri":"%s/go","verification_uri_complete":"%s/go?c=1","expires_in":600,"interval":1}`, url, url)
		case "/token":
			_, _ = io.WriteString(w, `{"access_token":"a-secret","refresh_token":"r-secret","expires_in":3600}`)
		}
	}))
	t.Cleanup(s.Close)
	url = s.URL
	accept = &atomic.Bool{}
	accept.Store(true)
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer a-secret" || r.Header.Get("X-Internal-Api-Key") != "" || !accept.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"code":"UNAUTHORIZED","message":"A valid key is required."}}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":[],"meta":{"total":0}}`)
	}))
	t.Cleanup(g.Close)
	return url, g.URL, accept
}

func TestLogins(t *testing.T) {
	issuer, gateway, accept := loginServers(t)
	setup(t, target.VariableKey, "the-environments-key")
	code, _, stderr := runLine(t, "login")
	require.Equal(t, exitUsage, code, stderr)
	runOK(t, "context add prod --api "+gateway+" --issuer "+issuer+" --client-id cli")
	runOK(t, "context add keyed --api "+gateway)
	require.Regexp(t, `prod +\* .*logged out`, runOK(t, "context list"))
	code, _, stderr = runLine(t, "events list")
	require.Equal(t, exitRefused, code)
	require.Contains(t, stderr, "run: gateway login prod")

	code, stdout, stderr := runLine(t, "login")
	require.Zero(t, code, stderr)
	require.Equal(t, "logged in to prod\n", stdout)
	require.Contains(t, stderr, issuer+"/go\n")
	require.Contains(t, stderr, `WDJB-MJHT\u001b[2J`)
	require.Contains(t, stderr, "expires in 10m0s")
	runOK(t, "events list")
	require.Regexp(t, `prod +\* .*logged in`, runOK(t, "context list"))
	shown := runOK(t, "context list --json")
	require.Contains(t, shown, `"clientId": "cli"`)
	accept.Store(false)
	code, _, after := runLine(t, "events list")
	require.Equal(t, exitRefused, code)
	require.Contains(t, after, "OIDC_AUDIENCE")
	code, _, refused := runLine(t, "login prod")
	require.Equal(t, exitRefused, code)
	require.Contains(t, refused, "OIDC_AUDIENCE")
	for _, text := range []string{stdout, stderr, shown, after, refused} {
		require.NotContains(t, text, "a-secret")
		require.NotContains(t, text, "r-secret")
	}

	path, err := target.TokenPath("prod")
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	code, _, stderr = runLine(t, "context remove prod")
	require.Equal(t, exitRefused, code, "the token would stay behind")
	require.Contains(t, stderr, "gateway logout prod")
	require.Equal(t, "logged out of prod\n", runOK(t, "logout"))
	require.NoFileExists(t, path)
	require.Equal(t, "nobody was logged in to prod\n", runOK(t, "logout prod"))
	runOK(t, "context remove prod")
}

func TestLoginsThatCannotBe(t *testing.T) {
	setup(t)
	require.NoError(t, os.WriteFile("k", []byte("key"), 0o600))
	runOK(t, "context add keyed --api https://gw.example --key-file k")
	runOK(t, "context add away --api https://gw.example --issuer http://127.0.0.1:1 --client-id cli")
	for line, want := range map[string]struct {
		code int
		says string
	}{
		"login nobody": {exitNotFound, "no such context"},
		"login keyed":  {exitUsage, "has no issuer"},
		"logout keyed": {exitUsage, "has no issuer"},
		"login away":   {exitUnavailable, "cannot be used"},
		"login a b":    {exitUsage, "at most 1"},
		"context add x --api https://a.example --issuer https://i.example":                                        {exitUsage, "a client id"},
		"context add x --api https://a.example --client-id c":                                                     {exitUsage, "needs an issuer"},
		"context add x --api https://a.example --id-token":                                                        {exitUsage, "needs an issuer"},
		"context add x --api https://a.example --issuer http://i.example --client-id c":                           {exitUsage, "is no issuer"},
		"context add x --api http://a.example --issuer https://i.example --client-id c":                           {exitUsage, "sent unencrypted"},
		"context add x --api https://a.example --issuer https://i.example --client-id c --key-file k":             {exitUsage, "not both"},
		"context add x --api https://a.example --issuer https://user:pass@i.example --client-id c --audience abc": {exitUsage, "is no issuer"},
	} {
		code, stdout, stderr := runLine(t, line)
		require.Equal(t, want.code, code, "%s: %s", line, stderr)
		require.Contains(t, stderr, want.says, line)
		require.Empty(t, strings.TrimSpace(stdout), line)
	}
}
