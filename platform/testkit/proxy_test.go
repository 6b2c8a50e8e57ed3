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

// echoServer answers each line with itself.
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

type line struct {
	net.Conn
	heard *bufio.Reader
}

func dialLine(t *testing.T, addr string) line {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return line{c, bufio.NewReader(c)}
}

func (l line) say(text string, patience time.Duration) (string, error) {
	if _, err := l.Write([]byte(text + "\n")); err != nil {
		return "", err
	}
	return l.hear(patience)
}

func (l line) hear(patience time.Duration) (string, error) {
	_ = l.SetReadDeadline(time.Now().Add(patience))
	return l.heard.ReadString('\n')
}

const long, short = 10 * time.Second, 50 * time.Millisecond

func TestProxy(t *testing.T) {
	p := testkit.NewProxy(t, echoServer(t))
	l := dialLine(t, p.Addr())
	heard, err := l.say("forwarded", long)
	require.NoError(t, err)
	require.Equal(t, "forwarded\n", heard)

	p.Hang()
	_, err = l.say("held back", short)
	require.ErrorContains(t, err, "timeout")
	other := dialLine(t, p.Addr())
	_, err = other.say("a new one, held back too", short)
	require.ErrorContains(t, err, "timeout")
	p.Resume()
	heard, err = l.hear(long)
	require.NoError(t, err)
	require.Equal(t, "held back\n", heard)

	p.Cut()
	_, err = l.say("gone", long)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "timeout")
	c, err := net.Dial("tcp", p.Addr()) // this, or the first word, is answered by a reset
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
		_, err = line{c, bufio.NewReader(c)}.say("refused", long)
	}
	require.Error(t, err)
	require.NotContains(t, err.Error(), "timeout")
	p.Resume()
	heard, err = dialLine(t, p.Addr()).say("back", long)
	require.NoError(t, err)
	require.Equal(t, "back\n", heard)
}

func TestProxyURL(t *testing.T) {
	p := testkit.NewProxy(t, "postgres://me:secret@127.0.0.1/db?sslmode=disable")
	require.Equal(t, "postgres://me:secret@"+p.Addr()+"/db?sslmode=disable", p.URL())
}
