package testkit_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// echoServer echoes each line.
func echoServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

type testConn struct {
	net.Conn
	reader *bufio.Reader
}

func dialTest(t *testing.T, addr string) testConn {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return testConn{c, bufio.NewReader(c)}
}

func (l testConn) roundTrip(text string, timeout time.Duration) (string, error) {
	if _, err := l.Write([]byte(text + "\n")); err != nil {
		return "", err
	}
	return l.readLine(timeout)
}

func (l testConn) readLine(timeout time.Duration) (string, error) {
	_ = l.SetReadDeadline(time.Now().Add(timeout))
	return l.reader.ReadString('\n')
}

const long, short = 10 * time.Second, 50 * time.Millisecond

func TestProxy(t *testing.T) {
	p := testkit.NewProxy(t, echoServer(t))
	l := dialTest(t, p.Addr())
	got, err := l.roundTrip("forwarded", long)
	require.NoError(t, err)
	require.Equal(t, "forwarded\n", got)

	p.Hang()
	_, err = l.roundTrip("held back", short)
	require.ErrorContains(t, err, "timeout")
	other := dialTest(t, p.Addr())
	_, err = other.roundTrip("a new one, held back too", short)
	require.ErrorContains(t, err, "timeout")
	p.Resume()
	got, err = l.readLine(long)
	require.NoError(t, err)
	require.Equal(t, "held back\n", got)

	p.Cut()
	_, err = l.roundTrip("gone", long)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "timeout")
	c, err := net.Dial("tcp", p.Addr()) // this or the first line is answered by a reset
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
		_, err = testConn{c, bufio.NewReader(c)}.roundTrip("refused", long)
	}
	require.Error(t, err)
	require.NotContains(t, err.Error(), "timeout")
	p.Resume()
	got, err = dialTest(t, p.Addr()).roundTrip("back", long)
	require.NoError(t, err)
	require.Equal(t, "back\n", got)
}

func TestProxyURL(t *testing.T) {
	p := testkit.NewProxy(t, "postgres://me:secret@127.0.0.1/db?sslmode=disable")
	require.Equal(t, "postgres://me:secret@"+p.Addr()+"/db?sslmode=disable", p.URL())
}
