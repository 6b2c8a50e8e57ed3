package database

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func TestClassifyPostgres(t *testing.T) {
	of := func(code string) error { return fmt.Errorf("store: %w", &pq.Error{Code: pqerror.Code(code)}) }
	for _, c := range []struct {
		sentence string
		err      error
		outage   bool
		retires  bool // the connection leaves the pool
	}{
		{"a read-only transaction: a standby, or a database set to read-only", of("25006"), true, true},
		{"cannot … during recovery", of("0A000"), true, true},
		{"session is read-only, from lib/pq", errors.New("session is read-only"), true, true},
		{"the same from one of several hosts", fmt.Errorf("connecting to a:1: %w", errors.New("server is in hot standby mode")), true, true},
		{"a standby, detected by us", fmt.Errorf("connect: %w", errStandby), true, true},
		{"the disk is full", of("53100"), true, false},
		{"too many connections", of("53300"), true, false},
		{"the server is starting up", of("57P03"), true, false},
		{"it is shutting down", of("57P01"), true, false},
		{"a lock timeout", of("55P03"), true, false},
		{"the connection ended", io.ErrUnexpectedEOF, true, false},
		{"connection refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, true, false},
		{"a missing column is a bug of ours", of("42703"), false, false},
		{"so is a constraint", of("23505"), false, false},
		{"a wrong password is not an outage", of("28P01"), false, false},
		{"an error that only mentions a standby in its text", &pq.Error{Code: "42601", Message: "server is in hot standby mode"}, false, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			require.Equal(t, c.outage, fault.Is(classifyPostgres(c.err), fault.Unavailable))
			ours, theirs := net.Pipe()
			defer func() { _ = ours.Close(); _ = theirs.Close() }()
			conn := &deadlineConn{Conn: ours}
			require.Equal(t, c.err, conn.retireOn(c.err))
			require.Equal(t, c.retires, conn.isAbandoned())
		})
	}
}

func TestAConnectionToAnotherServerClosesTheOlderOnes(t *testing.T) {
	s := newSessions()
	open := func(server string) (*deadlineConn, <-chan error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
		conn := &deadlineConn{Conn: ours, timeout: time.Hour}
		s.admit(conn, server)
		read := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1)) // a statement waiting for its answer
			read <- err
		}()
		return conn, read
	}
	first, firstRead := open("started at noon")
	second, secondRead := open("started at noon")
	require.False(t, first.isAbandoned())
	require.NoError(t, second.Close())
	require.Error(t, <-secondRead)

	third, thirdRead := open("started at one")
	require.Error(t, <-firstRead, "a caller waiting for the former server is released")
	require.True(t, first.isAbandoned())
	require.False(t, third.isAbandoned())
	require.Equal(t, "started at one", s.current())
	require.Len(t, s.open, 1, "closed connections are removed")
	require.NoError(t, third.Close())
	require.Error(t, <-thirdRead)
	require.Empty(t, s.open)
}

func TestTheLastWorkingHostIsTriedFirst(t *testing.T) {
	s := newSessions()
	require.Equal(t, []int{0, 1, 2}, s.order(3))
	s.prefer(2)
	require.Equal(t, []int{2, 0, 1}, s.order(3))
}

func TestHostsAndPorts(t *testing.T) {
	for _, c := range []struct{ url, want, refused string }{
		{"postgres://u:p@h:5432/db?sslmode=disable", "postgres://u:p@h:5432/db?sslmode=disable", ""},
		{"postgres://u:p,q@h/db", "postgres://u:p,q@h/db", ""},
		{"postgres://u:p@a:1,b:2/db", "postgres://u:p@/db?host=a%2Cb&port=1%2C2", ""},
		{"postgres://a,b:2/db?x=y", "postgres:///db?host=a%2Cb&port=5432%2C2&x=y", ""},
		{"postgres://a,b/db", "postgres:///db?host=a%2Cb", ""},
		{"postgres://a,b/db?port=3", "postgres:///db?host=a%2Cb&port=3", ""},
		{"postgres://a:1,b:2", "postgres:///?host=a%2Cb&port=1%2C2", ""},
		{"postgres://u:p,[@[::1]:1,[fe80::2],b:2/db", "postgres://u:p,[@/db?host=%3A%3A1%2Cfe80%3A%3A2%2Cb&port=1%2C5432%2C2", ""},
		{"postgres://[::1]/db", "postgres:///db?host=%3A%3A1", ""},
		{"postgres://%2Frun%2Fpostgresql,b/db", "postgres:///db?host=%2Frun%2Fpostgresql%2Cb", ""},
		{"postgres://a:1,b:2/db?port=3", "", "both before its path and as a parameter"},
		{"postgres://a,b/db?host=c", "", "both before its path and as a parameter"},
		{"postgres://a:1,:2/db", "", "empty host"},
		{"postgres://a:1,,b/db", "", "empty host"},
		{"postgres://a,::1/db", "", "IPv6 addresses in brackets"},
		{"postgres://a,[b]:1/db", "", "other than an IPv6 address"},
	} {
		got, err := hostsAndPorts(c.url)
		if c.refused != "" {
			require.ErrorContains(t, err, c.refused, c.url)
			continue
		}
		require.NoError(t, err, c.url)
		require.Equal(t, c.want, got)
	}
}

func TestSeveralHostsAreTriedOneByOne(t *testing.T) {
	for _, c := range []struct {
		url       string
		addresses []string
		timeout   time.Duration // of each
	}{
		{"postgres://u:p@a,[::2]:2/db?target_session_attrs=read-write", []string{"a 5432", "::2 2"}, multiHostConnectTimeout},
		{"postgres://u@a:1,b:2/db?connect_timeout=9", []string{"a 1", "b 2"}, 9 * time.Second},
		{"postgres://u@a,b/db?port=1,2&connect_timeout=-1", []string{"a 1", "b 2"}, multiHostConnectTimeout},
		{"postgres://u@a/db", []string{"a 5432"}, connectTimeout},
		{"postgres://u@[::1]/db", []string{"::1 5432"}, connectTimeout},
	} {
		cfg, err := parsePostgresURL(c.url)
		require.NoError(t, err, c.url)
		hosts, err := hostsOf(cfg)
		require.NoError(t, err, c.url)
		require.Len(t, hosts, len(c.addresses), c.url)
		for i, want := range c.addresses {
			var dialed string
			hosts[i].Dialer(dialerFunc(func(address string, timeout time.Duration) {
				require.Equal(t, c.timeout, timeout, c.url)
				dialed = address
			}))
			_, err := hosts[i].Connect(t.Context())
			require.ErrorIs(t, err, net.ErrClosed)
			host, port, err := net.SplitHostPort(dialed)
			require.NoError(t, err)
			require.Equal(t, want, host+" "+port, c.url)
		}
	}
}

// dialerFunc is told what it should connect to, and fails.
type dialerFunc func(address string, timeout time.Duration)

func (f dialerFunc) Dial(_, address string) (net.Conn, error) { return f.DialTimeout("", address, 0) }

func (f dialerFunc) DialTimeout(_, address string, timeout time.Duration) (net.Conn, error) {
	f(address, timeout)
	return nil, net.ErrClosed
}

func TestABadURLIsRefusedByName(t *testing.T) {
	for url, names := range map[string]string{
		"postgres://u:hunter2@a:1,b:2/db?target_session_attrs=primry":         `"target_session_attrs"`,
		"postgres://u:hunter2@a:1,b:2/db?target_session_attrs=standby":        "target_session_attrs=standby",
		"postgres://u:hunter2@a:1,b:2/db?target_session_attrs=prefer-standby": "target_session_attrs=prefer-standby",
		"postgres://u:hunter2@a:1,b:2/db?load_balance_hosts=random":           "load_balance_hosts=random",
		"postgres://u:hunter2@a:1,b:x/db":                                     `"port"`,
		"postgres://u:hunter2@a,b/db?port=1,2,3":                              "3 port numbers to 2 hosts",
		"postgres://u:hunter2@a/db?connect_timeout=2s":                        `"connect_timeout"`,
		"postgres://u:hunter2@a/db?sslmode=perhaps":                           `"sslmode"`,
		"postgres://u:hunter2@a/db?client_encoding=latin1":                    "client_encoding",
		"postgres://u:hunter2@a:port/db":                                      "write postgres://user:password@host:5432",
	} {
		_, err := parsePostgresURL(url)
		require.ErrorContains(t, err, names, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
