package test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

const day = 24 * time.Hour

// mountedFiles is a folder of files like a Kubernetes secret mount or certbot's
// certificates: everybody reads through a link, which is changed in one step.
type mountedFiles struct {
	t      *testing.T
	dir    string
	number int
}

func (m *mountedFiles) path(name string) string { return filepath.Join(m.dir, "live", name) }

func (m *mountedFiles) put(files map[string][]byte) {
	m.t.Helper()
	m.number++
	to := fmt.Sprintf("v%d", m.number)
	require.NoError(m.t, os.Mkdir(filepath.Join(m.dir, to), 0o700))
	for name, text := range files {
		require.NoError(m.t, os.WriteFile(filepath.Join(m.dir, to, name), text, 0o600))
	}
	next := filepath.Join(m.dir, "next")
	require.NoError(m.t, os.Symlink(to, next))
	require.NoError(m.t, os.Rename(next, filepath.Join(m.dir, "live")))
}

// secureGateway is a gateway with TLS on the public listener and client certificates on the
// management API's, whose tokens come from an issuer.
type secureGateway struct {
	*gateway
	files      *mountedFiles
	serverCA   *testkit.Authority // issues the listeners' certificates
	clientCA   *testkit.Authority // issues the clients' certificates
	issuer     *testkit.Issuer
	management string // host:port
	secrets    []string
}

func (g *secureGateway) mount(pair testkit.Issued, clientCA []byte) {
	g.files.put(map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key, "ca.crt": clientCA})
}

// clientTo returns a client of one of the listeners, with a client certificate if given.
func (g *secureGateway) clientTo(t *testing.T, address string, pairs ...tls.Certificate) *client {
	c := newClient(t, "https://"+address)
	c.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.serverCA.Pool(), Certificates: pairs}
	return c
}

func (g *secureGateway) public() string { return fmt.Sprintf("127.0.0.1:%d", g.port) }

// serial returns the serial number of the certificate that a new connection gets.
func (g *secureGateway) serial() string {
	conn, err := tls.Dial("tcp", g.public(), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.serverCA.Pool()})
	require.NoError(g.t, err)
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// token makes a token that no log may contain.
func (g *secureGateway) token(keyID string, claims map[string]any) map[string]string {
	text := g.issuer.TokenOf(keyID, claims)
	g.secrets = append(g.secrets, text)
	return map[string]string{"Authorization": "Bearer " + text, "Content-Type": "application/json"}
}

// inOneProcess makes an installation on SQLite, migrated and seeded.
func inOneProcess(t *testing.T, settings ...string) *gateway {
	t.Helper()
	g := newGateway(t, settings)
	g.database = "sqlite://" + filepath.Join(t.TempDir(), "gateway.db")
	g.set("DATABASE_URL", g.database, "SECRETS_KEY", secretsKey)
	g.run("migrate", "up")
	g.run("seed", "--callback-base", g.receiver.server.URL)
	return g
}

func TestSecureListenersInOneProcess(t *testing.T) {
	t.Parallel()
	testSecureListeners(t, inOneProcess)
}

func TestSecureListenersOnTheServers(t *testing.T) {
	t.Parallel()
	testSecureListeners(t, onServers)
}

func testSecureListeners(t *testing.T, install func(*testing.T, ...string) *gateway) {
	g := &secureGateway{files: &mountedFiles{t: t, dir: t.TempDir()}, serverCA: testkit.NewAuthority(t), clientCA: testkit.NewAuthority(t),
		issuer: testkit.NewIssuer(t), management: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	g.issuer.SetUnavailable(true)
	first := g.serverCA.Issue(90*day, 80*day)
	g.mount(first, g.clientCA.PEM)
	g.gateway = install(t, "TLS_CERT_FILE", g.files.path("tls.crt"), "TLS_KEY_FILE", g.files.path("tls.key"),
		"MANAGEMENT_ADDR", g.management, "MANAGEMENT_CLIENT_CA_FILE", g.files.path("ca.crt"), "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", "0",
		"OIDC_ISSUER", g.issuer.URL, "OIDC_AUDIENCE", testkit.Audience, "OIDC_ROLES", "gateway-ops=operator")
	p := startProcess(t, g.env, "serve", "--work")
	g.processes = append(g.processes, p)
	sender := g.clientTo(t, g.public())
	eventually(t, func() bool {
		res, _, err := sender.ask(http.MethodGet, "/readyz", nil, nil)
		return !p.running() || err == nil && res.StatusCode == http.StatusOK
	}, "it is ready")
	g.client = g.clientTo(t, g.management, g.clientCA.Issue(day, time.Hour).Pair(t))

	r := sender.send(http.StatusAccepted, "acme", order("evt_tls", "ord_tls"), "")
	g.waitForStatus(r.EventID, "processed")
	g.clientCertificates()
	g.tokens(r.EventID)
	g.changes(p, first)

	p.terminate()
	require.Zero(t, p.exitCode(waitTimeout))
	for _, secret := range append(g.secrets, managementKey) {
		require.NotContains(t, p.output.String(), secret)
	}
}

// clientCertificates are required, but are not a credential.
func (g *secureGateway) clientCertificates() {
	key := map[string]string{"X-Internal-Api-Key": managementKey}
	status := func(c *client, header map[string]string) int {
		res, _, err := c.ask(http.MethodGet, "/api/v1/events", nil, header)
		if err != nil {
			return 0
		}
		return res.StatusCode
	}
	require.Equal(g.t, http.StatusOK, status(g.client, key))
	require.Equal(g.t, http.StatusUnauthorized, status(g.client, nil), "a certificate alone")
	require.Zero(g.t, status(g.clientTo(g.t, g.management), key), "no certificate")
	unknown := testkit.NewAuthority(g.t).Issue(day, time.Hour).Pair(g.t)
	require.Zero(g.t, status(g.clientTo(g.t, g.management, unknown), key), "an unknown client's")
	require.Equal(g.t, http.StatusNotFound, status(g.clientTo(g.t, g.public()), key), "the public listener has no such route")
}

// tokens depends on the issuer, which was unavailable at the start.
func (g *secureGateway) tokens(eventID string) {
	path := "/api/v1/events/" + eventID + "/replay"
	replay := func(header map[string]string) int {
		res, _, err := g.ask(http.MethodPost, path, []byte(`{"reason":"for the test"}`), header)
		require.NoError(g.t, err)
		return res.StatusCode
	}
	began := time.Now()
	good := g.token("", map[string]any{"sub": "night-shift", "roles": []string{"gateway-ops"}})
	require.Equal(g.t, http.StatusServiceUnavailable, replay(good), "no key is known")
	g.issuer.SetUnavailable(false)
	status := 0
	eventually(g.t, func() bool { status = replay(good); return status != http.StatusServiceUnavailable }, "the issuer's keys are fetched again")
	require.Equal(g.t, http.StatusAccepted, status)
	require.Equal(g.t, http.StatusForbidden, replay(g.token("", map[string]any{"roles": []string{"operator"}})), "an unmapped role")
	require.Equal(g.t, http.StatusUnauthorized, replay(g.token("", map[string]any{"aud": "another", "roles": []string{"gateway-ops"}})))
	both := g.token("", map[string]any{"roles": []string{"gateway-ops"}})
	both["X-Internal-Api-Key"] = managementKey
	require.Equal(g.t, http.StatusUnauthorized, replay(both), "a key and a token")

	g.issuer.Rotate()
	rotated := g.token("", map[string]any{"roles": []string{"gateway-ops"}})
	var forged []map[string]string
	for n := range 10 {
		forged = append(forged, g.token(fmt.Sprintf("made-up-%d", n), nil))
	}
	eventually(g.t, func() bool {
		for _, header := range forged {
			require.Equal(g.t, http.StatusUnauthorized, replay(header))
		}
		return replay(rotated) == http.StatusAccepted
	}, "the new key is accepted despite the flood")
	require.LessOrEqual(g.t, g.issuer.Fetched(), 2+int(time.Since(began)/(10*time.Second)), "a flood of unknown keys causes few fetches")

	var entries []struct{ Action, Actor string }
	g.get("/audit-entries?action=replay.requested", &entries)
	actors := map[string]bool{}
	for _, e := range entries {
		actors[e.Actor] = true
	}
	require.Equal(g.t, map[string]bool{"oidc:night-shift": true, "oidc:a-service": true}, actors)
	db := g.open()
	eventually(g.t, func() bool { return g.total(db, "audit_entries WHERE action = 'auth.failed'") > 0 }, "refused tokens are audited")
}

// changes of the files apply to new connections only.
func (g *secureGateway) changes(p *process, first testkit.Issued) {
	const wrong = "the TLS files are invalid; still using the previous certificate"
	require.Equal(g.t, first.Serial.String(), g.serial())
	kept, err := tls.Dial("tcp", g.public(), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.serverCA.Pool()})
	require.NoError(g.t, err)
	defer func() { _ = kept.Close() }()
	answers := bufio.NewReader(kept)
	alive := func() {
		_, err := io.WriteString(kept, "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n")
		require.NoError(g.t, err)
		res, err := http.ReadResponse(answers, nil)
		require.NoError(g.t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(g.t, err)
		require.Equal(g.t, http.StatusOK, res.StatusCode)
	}
	alive()
	second, later := g.serverCA.Issue(90*day, 80*day), testkit.NewAuthority(g.t)
	g.mount(second, later.PEM)
	eventually(g.t, func() bool { return g.serial() == second.Serial.String() }, "the new certificate is used")
	alive()
	renewed := later.Issue(day, time.Hour).Pair(g.t)
	eventually(g.t, func() bool {
		_, _, err := g.clientTo(g.t, g.management, renewed).ask(http.MethodGet, "/livez", nil, nil)
		return err == nil
	}, "the new client authority is accepted")
	g.http.CloseIdleConnections()
	_, _, err = g.ask(http.MethodGet, "/livez", nil, nil)
	require.Error(g.t, err, "and the old one is not")

	g.mount(testkit.Issued{Cert: bytes.ToUpper(second.Cert), Key: first.Key}, later.PEM)
	require.False(g.t, p.hasLogged(wrong))
	eventually(g.t, func() bool { return p.hasLogged(wrong) }, "a broken pair is logged")
	require.Equal(g.t, second.Serial.String(), g.serial())
	alive()
}

// TestWrongDoorsDoNotOpen starts gateways with contradictory settings.
func TestInvalidListenersFailTheStart(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	files := &mountedFiles{t: t, dir: t.TempDir()}
	files.put(map[string][]byte{"tls.crt": a.Issue(day, time.Hour).Cert, "tls.key": a.Issue(day, time.Hour).Key, "ca.crt": a.PEM})
	p := startProcess(t, map[string]string{"DATABASE_URL": "sqlite://" + filepath.Join(t.TempDir(), "x.db"), "MANAGEMENT_API_KEY": managementKey,
		"TLS_CERT_FILE": files.path("tls.crt"), "TLS_KEY_FILE": files.path("tls.key"), "MANAGEMENT_CLIENT_CA_FILE": files.path("ca.crt"),
		"OIDC_ISSUER": "https://login.example.com"}, "serve", "--work")
	require.Equal(t, 2, p.exitCode(waitTimeout))
	for _, said := range []string{
		"TLS_CERT_FILE: does not match the key: private key does not match public key; give the certificate",
		"MANAGEMENT_ADDR: it is not set, and MANAGEMENT_TLS_CERT_FILE, MANAGEMENT_TLS_KEY_FILE and MANAGEMENT_CLIENT_CA_FILE are for the listener there;",
		"OIDC_AUDIENCE: it is not set",
	} {
		require.Contains(t, p.output.String(), said)
	}
}

// TestSecureListenersWhilePostgreSQLHangsAtTheStart: what answers for a process that cannot start yet asks for the same
// certificates, on the same addresses.
func TestSecureListenersWhilePostgreSQLHangsAtTheStart(t *testing.T) {
	t.Parallel()
	postgres := testkit.NewProxy(t, testkit.Server(t, testkit.PostgresVariable))
	g := &secureGateway{files: &mountedFiles{t: t, dir: t.TempDir()}, serverCA: testkit.NewAuthority(t), clientCA: testkit.NewAuthority(t),
		management: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	g.mount(g.serverCA.Issue(90*day, 80*day), g.clientCA.PEM)
	g.gateway = onServers(t)
	g.set("DATABASE_URL", viaProxy(t, postgres, g.database), "TLS_CERT_FILE", g.files.path("tls.crt"), "TLS_KEY_FILE", g.files.path("tls.key"),
		"MANAGEMENT_ADDR", g.management, "MANAGEMENT_CLIENT_CA_FILE", g.files.path("ca.crt"))
	postgres.Hang()
	p := startProcess(t, g.env, "serve", "--work")
	g.processes = append(g.processes, p)
	status := func(c *client, path string) int {
		res, _, err := c.ask(http.MethodGet, path, nil, map[string]string{"X-Internal-Api-Key": managementKey})
		if err != nil {
			return 0
		}
		return res.StatusCode
	}
	public, stranger := g.clientTo(t, g.public()), g.clientTo(t, g.management)
	known := g.clientTo(t, g.management, g.clientCA.Issue(day, time.Hour).Pair(t))
	eventually(t, func() bool { return status(public, "/livez") == http.StatusOK }, "it is alive")
	require.Equal(t, http.StatusServiceUnavailable, status(public, "/readyz"))
	require.Equal(t, http.StatusServiceUnavailable, status(known, "/api/v1/events"))
	require.Equal(t, http.StatusServiceUnavailable, status(known, "/console"))
	require.Zero(t, status(stranger, "/livez"), "no certificate")
	require.Equal(t, http.StatusBadRequest, probe("http://"+g.public()+"/livez"), "nothing is said without TLS")

	postgres.Resume()
	eventually(t, func() bool { return status(public, "/readyz") == http.StatusOK }, "it becomes ready by itself")
	require.True(t, p.running())
	require.Equal(t, http.StatusOK, status(known, "/api/v1/events"))
	require.Zero(t, status(stranger, "/livez"))
}
