package main

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// greets is a server that sends its name on connect, and again for each byte received.
func greets(t *testing.T, name string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for one := make([]byte, 1); ; {
					if _, err := conn.Write([]byte(name)); err != nil {
						return
					}
					if _, err := conn.Read(one); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestTheProxySwitchesNewConnections(t *testing.T) {
	p, err := newSwitchingProxy(greets(t, "a"))
	require.NoError(t, err)
	t.Cleanup(p.close)
	connect := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	says := func(conn net.Conn) string {
		one := make([]byte, 1)
		_, err := io.ReadFull(conn, one)
		require.NoError(t, err)
		return string(one)
	}
	first := connect()
	require.Equal(t, "a", says(first))
	p.switchTo(greets(t, "b"))
	second := connect()
	require.Equal(t, "b", says(second))
	_, err = first.Write([]byte("?"))
	require.NoError(t, err)
	require.Equal(t, "a", says(first), "an existing connection stays where it is")

	p.closeConns()
	for _, conn := range []net.Conn{first, second} {
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err, "shut")
	}
	require.Equal(t, "b", says(connect()), "new connections are possible")
}
