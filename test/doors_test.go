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

// mounted is a folder of files as Kubernetes mounts a secret and as certbot keeps its
// certificates: everybody reads through a link, which is moved in one step.
type mounted struct {
	t      *testing.T
	dir    string
	number int
}

func (m *mounted) path(name string) string { return filepath.Join(m.dir, "live", name) }

func (m *mounted) put(files map[string][]byte) {
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

// doors is a gateway with both its doors shut: TLS on the public listener, and client
// certificates on the management API's, whose tokens come from an issuer.
type doors struct {
	*gateway
	files      *mounted
	own        *testkit.Authority // of the listeners
	theirs     *testkit.Authority // of the clients
	issuer     *testkit.Issuer
	management string // host:port
	secrets    []string
}

func (d *doors) mount(pair testkit.Issued, clientCA []byte) {
	d.files.put(map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key, "ca.crt": clientCA})
}

// visitor speaks to one of the listeners, with a client certificate where one is given.
func (d *doors) visitor(t *testing.T, address string, pairs ...tls.Certificate) *client {
	c := newClient(t, "https://"+address)
	c.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.own.Pool(), Certificates: pairs}
	return c
}

func (d *doors) public() string { return fmt.Sprintf("127.0.0.1:%d", d.port) }

// serial is that of the certificate which a new connection is shown.
func (d *doors) serial() string {
	conn, err := tls.Dial("tcp", d.public(), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.own.Pool()})
	require.NoError(d.t, err)
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// token makes one that no log may hold.
func (d *doors) token(keyID string, claims map[string]any) map[string]string {
	text := d.issuer.TokenOf(keyID, claims)
	d.secrets = append(d.secrets, text)
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

func TestTheDoorsInOneProcess(t *testing.T) {
	t.Parallel()
	throughTheDoors(t, inOneProcess)
}

func TestTheDoorsOnTheServers(t *testing.T) {
	t.Parallel()
	throughTheDoors(t, onServers)
}

func throughTheDoors(t *testing.T, install func(*testing.T, ...string) *gateway) {
	d := &doors{files: &mounted{t: t, dir: t.TempDir()}, own: testkit.NewAuthority(t), theirs: testkit.NewAuthority(t),
		issuer: testkit.NewIssuer(t), management: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	d.issuer.GoAway(true)
	first := d.own.Issue(90*day, 80*day)
	d.mount(first, d.theirs.PEM)
	d.gateway = install(t, "TLS_CERT_FILE", d.files.path("tls.crt"), "TLS_KEY_FILE", d.files.path("tls.key"),
		"MANAGEMENT_ADDR", d.management, "MANAGEMENT_CLIENT_CA_FILE", d.files.path("ca.crt"), "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", "0",
		"OIDC_ISSUER", d.issuer.URL, "OIDC_AUDIENCE", testkit.Audience, "OIDC_ROLES", "gateway-ops=operator")
	p := startProcess(t, d.env, "serve", "--work")
	d.processes = append(d.processes, p)
	sender := d.visitor(t, d.public())
	eventually(t, func() bool {
		res, _, err := sender.ask(http.MethodGet, "/readyz", nil, nil)
		return !p.running() || err == nil && res.StatusCode == http.StatusOK
	}, "it is ready")
	d.client = d.visitor(t, d.management, d.theirs.Issue(day, time.Hour).Pair(t))

	r := sender.send(http.StatusAccepted, "acme", order("evt_tls", "ord_tls"), "")
	d.ends(r.EventID, "processed")
	d.clientCertificates()
	d.tokens(r.EventID)
	d.changes(p, first)

	p.terminate()
	require.Zero(t, p.exitCode(patience))
	for _, secret := range append(d.secrets, managementKey) {
		require.NotContains(t, p.said.String(), secret)
	}
}

// clientCertificates are a condition, and no credential.
func (d *doors) clientCertificates() {
	key := map[string]string{"X-Internal-Api-Key": managementKey}
	status := func(c *client, header map[string]string) int {
		res, _, err := c.ask(http.MethodGet, "/api/v1/events", nil, header)
		if err != nil {
			return 0
		}
		return res.StatusCode
	}
	require.Equal(d.t, http.StatusOK, status(d.client, key))
	require.Equal(d.t, http.StatusUnauthorized, status(d.client, nil), "a certificate alone")
	require.Zero(d.t, status(d.visitor(d.t, d.management), key), "no certificate")
	stranger := testkit.NewAuthority(d.t).Issue(day, time.Hour).Pair(d.t)
	require.Zero(d.t, status(d.visitor(d.t, d.management, stranger), key), "a stranger's")
	require.Equal(d.t, http.StatusNotFound, status(d.visitor(d.t, d.public()), key), "the public listener has no such route")
}

// tokens come and go with their issuer, which was away at the start.
func (d *doors) tokens(eventID string) {
	path := "/api/v1/events/" + eventID + "/replay"
	replay := func(header map[string]string) int {
		res, _, err := d.ask(http.MethodPost, path, []byte(`{"reason":"for the test"}`), header)
		require.NoError(d.t, err)
		return res.StatusCode
	}
	began := time.Now()
	good := d.token("", map[string]any{"sub": "night-shift", "roles": []string{"gateway-ops"}})
	require.Equal(d.t, http.StatusServiceUnavailable, replay(good), "no key is known")
	d.issuer.GoAway(false)
	status := 0
	eventually(d.t, func() bool { status = replay(good); return status != http.StatusServiceUnavailable }, "the issuer is asked again")
	require.Equal(d.t, http.StatusAccepted, status)
	require.Equal(d.t, http.StatusForbidden, replay(d.token("", map[string]any{"roles": []string{"operator"}})), "a role by another name")
	require.Equal(d.t, http.StatusUnauthorized, replay(d.token("", map[string]any{"aud": "another", "roles": []string{"gateway-ops"}})))
	both := d.token("", map[string]any{"roles": []string{"gateway-ops"}})
	both["X-Internal-Api-Key"] = managementKey
	require.Equal(d.t, http.StatusUnauthorized, replay(both), "a key and a token")

	d.issuer.Rotate()
	rotated := d.token("", map[string]any{"roles": []string{"gateway-ops"}})
	var forged []map[string]string
	for n := range 10 {
		forged = append(forged, d.token(fmt.Sprintf("made-up-%d", n), nil))
	}
	eventually(d.t, func() bool {
		for _, header := range forged {
			require.Equal(d.t, http.StatusUnauthorized, replay(header))
		}
		return replay(rotated) == http.StatusAccepted
	}, "the new key is known in spite of the flood")
	require.LessOrEqual(d.t, d.issuer.Fetched(), 2+int(time.Since(began)/(10*time.Second)), "a flood of unknown keys is none of fetches")

	var entries []struct{ Action, Actor string }
	d.get("/audit-entries?action=replay.requested", &entries)
	actors := map[string]bool{}
	for _, e := range entries {
		actors[e.Actor] = true
	}
	require.Equal(d.t, map[string]bool{"oidc:night-shift": true, "oidc:a-service": true}, actors)
	db := d.open()
	eventually(d.t, func() bool { return d.total(db, "audit_entries WHERE action = 'auth.failed'") > 0 }, "refused tokens are audited")
}

// changes of the files are taken up, by new connections alone.
func (d *doors) changes(p *process, first testkit.Issued) {
	const wrong = "the TLS files are wrong: the certificate of before is used on"
	require.Equal(d.t, first.Serial.String(), d.serial())
	kept, err := tls.Dial("tcp", d.public(), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.own.Pool()})
	require.NoError(d.t, err)
	defer func() { _ = kept.Close() }()
	answers := bufio.NewReader(kept)
	alive := func() {
		_, err := io.WriteString(kept, "GET /livez HTTP/1.1\r\nHost: gateway\r\n\r\n")
		require.NoError(d.t, err)
		res, err := http.ReadResponse(answers, nil)
		require.NoError(d.t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(d.t, err)
		require.Equal(d.t, http.StatusOK, res.StatusCode)
	}
	alive()
	second, later := d.own.Issue(90*day, 80*day), testkit.NewAuthority(d.t)
	d.mount(second, later.PEM)
	eventually(d.t, func() bool { return d.serial() == second.Serial.String() }, "the new certificate is shown")
	alive()
	newcomer := later.Issue(day, time.Hour).Pair(d.t)
	eventually(d.t, func() bool {
		_, _, err := d.visitor(d.t, d.management, newcomer).ask(http.MethodGet, "/livez", nil, nil)
		return err == nil
	}, "the new authority of clients is heard")
	d.http.CloseIdleConnections()
	_, _, err = d.ask(http.MethodGet, "/livez", nil, nil)
	require.Error(d.t, err, "and the old one no longer")

	d.mount(testkit.Issued{Cert: bytes.ToUpper(second.Cert), Key: first.Key}, later.PEM)
	require.False(d.t, p.has(wrong))
	eventually(d.t, func() bool { return p.has(wrong) }, "a broken pair is told of")
	require.Equal(d.t, second.Serial.String(), d.serial())
	alive()
}

// TestWrongDoorsDoNotOpen starts gateways whose settings cannot be meant.
func TestWrongDoorsDoNotOpen(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	files := &mounted{t: t, dir: t.TempDir()}
	files.put(map[string][]byte{"tls.crt": a.Issue(day, time.Hour).Cert, "tls.key": a.Issue(day, time.Hour).Key, "ca.crt": a.PEM})
	p := startProcess(t, map[string]string{"DATABASE_URL": "sqlite://" + filepath.Join(t.TempDir(), "x.db"), "MANAGEMENT_API_KEY": managementKey,
		"TLS_CERT_FILE": files.path("tls.crt"), "TLS_KEY_FILE": files.path("tls.key"), "MANAGEMENT_CLIENT_CA_FILE": files.path("ca.crt"),
		"OIDC_ISSUER": "https://login.example.com"}, "serve", "--work")
	require.Equal(t, 2, p.exitCode(patience))
	for _, said := range []string{
		"TLS_CERT_FILE: it and the key make no pair: private key does not match public key; give the certificate",
		"MANAGEMENT_ADDR: it is not set, and MANAGEMENT_TLS_CERT_FILE, MANAGEMENT_TLS_KEY_FILE and MANAGEMENT_CLIENT_CA_FILE are for the listener there;",
		"OIDC_AUDIENCE: it is not set",
	} {
		require.Contains(t, p.said.String(), said)
	}
}
