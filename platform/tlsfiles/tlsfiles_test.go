package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

const day = 24 * time.Hour

// folder holds a listener's files and their Reloader.
type folder struct {
	t     *testing.T
	dir   string
	paths Paths
	log   bytes.Buffer
	now   time.Time
	*Reloader
	server *tls.Config // the listener's configuration for all connections
}

func newFolder(t *testing.T, first testkit.Issued, clientCA []byte) *folder {
	t.Helper()
	dir := t.TempDir()
	f := &folder{t: t, dir: dir, now: time.Now(), paths: Paths{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}}
	f.write(first)
	if clientCA != nil {
		f.paths.ClientCA = filepath.Join(dir, "ca.crt")
		require.NoError(t, os.WriteFile(f.paths.ClientCA, clientCA, 0o600))
	}
	f.open()
	return f
}

func (f *folder) write(pair testkit.Issued) {
	require.NoError(f.t, os.WriteFile(f.paths.Cert, pair.Cert, 0o600))
	require.NoError(f.t, os.WriteFile(f.paths.Key, pair.Key, 0o600))
}

func (f *folder) open() {
	f.t.Helper()
	var err error
	f.Reloader, err = Open("public", f.paths, func() time.Time { return f.now }, slog.New(slog.NewTextHandler(&f.log, nil)))
	require.NoError(f.t, err)
	f.server = f.Config()
}

// logged returns what was logged since the last call.
func (f *folder) logged() string {
	text := f.log.String()
	f.log.Reset()
	return text
}

// handshake connects a client to a listener of f, and returns each side's result.
func (f *folder) handshake(client *tls.Config) (tls.ConnectionState, error, error) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f.t, err)
	defer func() { _ = l.Close() }()
	served := make(chan error, 1)
	go func() {
		there, err := l.Accept()
		if err == nil {
			_, err = tls.Server(there, f.server).Write([]byte("x")) // after the handshake
			_ = there.Close()
		}
		served <- err
	}()
	here, err := net.Dial("tcp", l.Addr().String())
	require.NoError(f.t, err)
	defer func() { _ = here.Close() }()
	conn := tls.Client(here, client)
	_, err = io.ReadFull(conn, make([]byte, 1)) // in TLS 1.3 a client learns at its first read that it was refused
	return conn.ConnectionState(), err, <-served
}

func (f *folder) serial(a *testkit.Authority) string {
	f.t.Helper()
	state, err, _ := f.handshake(&tls.Config{RootCAs: a.Pool(), ServerName: "localhost"})
	require.NoError(f.t, err)
	return state.PeerCertificates[0].SerialNumber.String()
}

func TestANewPairIsLoaded(t *testing.T) {
	a := testkit.NewAuthority(t)
	first, second, third := a.Issue(90*day, 80*day), a.Issue(90*day, 80*day), a.Issue(90*day, 80*day)
	f := newFolder(t, first, nil)
	require.Equal(t, first.Serial.String(), f.serial(a))
	f.reload()
	require.Empty(t, f.logged(), "nothing has changed")

	f.write(second)
	require.Equal(t, first.Serial.String(), f.serial(a), "before the reload")
	f.reload()
	require.Equal(t, second.Serial.String(), f.serial(a))
	require.Contains(t, f.logged(), second.Serial.Text(16))

	// Like Kubernetes and certbot: the paths are links, and one of them is changed.
	for name, pair := range map[string]testkit.Issued{"one": second, "two": third} {
		require.NoError(t, os.Mkdir(filepath.Join(f.dir, name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(f.dir, name, "tls.crt"), pair.Cert, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(f.dir, name, "tls.key"), pair.Key, 0o600))
	}
	data := filepath.Join(f.dir, "data")
	require.NoError(t, os.Symlink("one", data))
	for _, path := range []string{f.paths.Cert, f.paths.Key} {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.Symlink(filepath.Join("data", filepath.Base(path)), path))
	}
	f.reload()
	require.Empty(t, f.logged(), "the same contents")
	require.NoError(t, os.Symlink("two", data+".new"))
	require.NoError(t, os.Rename(data+".new", data))
	f.reload()
	require.Equal(t, third.Serial.String(), f.serial(a))
}

func TestABrokenPairIsLoggedAndTheOldOneKept(t *testing.T) {
	a := testkit.NewAuthority(t)
	first, second := a.Issue(90*day, 80*day), a.Issue(90*day, 80*day)
	for _, c := range []struct {
		name   string
		damage func(f *folder) error
		said   string
	}{
		{"the key is missing", func(f *folder) error { return os.Remove(f.paths.Key) }, "no such file"},
		{"the certificate is another's", func(f *folder) error { return os.WriteFile(f.paths.Cert, second.Cert, 0o600) }, "private key does not match"},
		{"the certificate is half written", func(f *folder) error { return os.WriteFile(f.paths.Cert, second.Cert[:100], 0o600) }, "failed to find any PEM"},
		{"the key is empty", func(f *folder) error { return os.WriteFile(f.paths.Key, nil, 0o600) }, "failed to find any PEM"},
		{"the authorities are invalid", func(f *folder) error { return os.WriteFile(f.paths.ClientCA, []byte("x"), 0o600) }, "contains no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t, first, a.PEM)
			before := f.config.Load()
			require.NoError(t, c.damage(f))
			f.reload()
			require.Empty(t, f.logged(), "two files may be in the middle of a change")
			f.reload()
			said := f.logged()
			require.Contains(t, said, "level=ERROR")
			require.Contains(t, said, c.said)
			require.NotContains(t, said, f.dir)
			f.reload()
			require.Empty(t, f.logged(), "logged once")
			require.Same(t, before, f.config.Load())
			f.now = f.now.Add(repeatLogAfter)
			f.reload()
			require.Contains(t, f.logged(), c.said, "and again while it persists")
			f.write(second)
			require.NoError(t, os.WriteFile(f.paths.ClientCA, a.PEM, 0o600))
			f.reload()
			require.Contains(t, f.logged(), "reloaded")
			require.NotSame(t, before, f.config.Load())
		})
	}
}

func TestTheExpiryOfACertificateIsLogged(t *testing.T) {
	a := testkit.NewAuthority(t)
	for _, c := range []struct {
		name       string
		life, left time.Duration
		said       string // "" for nothing
	}{
		{"a year's, well before", 365 * day, 14*day + time.Hour, ""},
		{"a year's, two weeks before", 365 * day, 14*day - time.Hour, "level=WARN"},
		{"a day's, well before", day, 5 * time.Hour, ""},
		{"a day's, in its last fifth", day, 4 * time.Hour, "level=WARN"},
		{"an expired one", day, -time.Minute, "level=ERROR msg=\"the TLS certificate has expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t, a.Issue(c.life, c.left), nil)
			atStart := f.logged()
			f.reload()
			require.Empty(t, f.logged(), "once is enough")
			if c.said == "" {
				require.Empty(t, atStart)
				return
			}
			require.Contains(t, atStart, c.said)
			f.now = f.now.Add(repeatLogAfter)
			f.reload()
			require.NotEmpty(t, f.logged(), "and again")
		})
	}
}

func TestAClientNeedsACertificateOfTheCurrentAuthorities(t *testing.T) {
	own, theirs, later := testkit.NewAuthority(t), testkit.NewAuthority(t), testkit.NewAuthority(t)
	f := newFolder(t, own.Issue(90*day, 80*day), theirs.PEM)
	known, unknown, renewed := theirs.Issue(day, time.Hour).Pair(t), own.Issue(day, time.Hour).Pair(t), later.Issue(day, time.Hour).Pair(t)
	expired := theirs.Issue(day, -time.Hour).Pair(t)
	sessions := tls.NewLRUClientSessionCache(8)
	resumes := func(sessions tls.ClientSessionCache, pairs ...tls.Certificate) (bool, error) {
		state, err, served := f.handshake(&tls.Config{RootCAs: own.Pool(), ServerName: "localhost", Certificates: pairs, ClientSessionCache: sessions})
		return state.DidResume, errors.Join(err, served)
	}
	try := func(pairs ...tls.Certificate) error {
		_, err := resumes(nil, pairs...)
		return err
	}
	require.NoError(t, try(known))
	for _, resumed := range []bool{false, true} {
		did, err := resumes(sessions, known)
		require.NoError(t, err)
		require.Equal(t, resumed, did)
	}
	require.ErrorContains(t, try(), "didn't provide a certificate")
	require.ErrorContains(t, try(unknown), "certificate")
	require.ErrorContains(t, try(expired), "certificate")
	require.ErrorContains(t, try(renewed), "certificate")
	require.NoError(t, os.WriteFile(f.paths.ClientCA, later.PEM, 0o600))
	f.reload()
	require.NoError(t, try(renewed))
	require.ErrorContains(t, try(known), "certificate", "its authority was removed")
	_, err := resumes(sessions, known)
	require.ErrorContains(t, err, "certificate", "also for resumed sessions")
}

func TestAClientMayHaveACertificate(t *testing.T) {
	own, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	f := newFolder(t, own.Issue(90*day, 80*day), theirs.PEM)
	f.paths.Optional = true
	var err error
	f.Reloader, err = Open("public", f.paths, f.Reloader.now, f.Reloader.log)
	require.NoError(t, err)
	f.server = f.Config()
	try := func(pairs ...tls.Certificate) error {
		_, err, served := f.handshake(&tls.Config{RootCAs: own.Pool(), ServerName: "localhost", Certificates: pairs})
		return errors.Join(err, served)
	}
	require.NoError(t, try(), "other senders have none")
	require.NoError(t, try(theirs.Issue(day, time.Hour).Pair(t)))
	require.ErrorContains(t, try(own.Issue(day, time.Hour).Pair(t)), "certificate", "of another authority")
	require.ErrorContains(t, try(theirs.Issue(day, -time.Hour).Pair(t)), "certificate", "an expired one")
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	a := testkit.NewAuthority(t)
	f := newFolder(t, a.Issue(90*day, 80*day), nil)
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		_, err, _ := f.handshake(&tls.Config{RootCAs: a.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version})
		require.Equal(t, good, err == nil, "%s: %v", tls.VersionName(version), err)
	}
	state, err, _ := f.handshake(&tls.Config{RootCAs: a.Pool(), ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}})
	require.NoError(t, err)
	require.Equal(t, "http/1.1", state.NegotiatedProtocol)
}
