package egress

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostileTime is the time limit of an attempt at a hostile server.
const hostileTime = 300 * time.Millisecond

// stage is where a hostile server stalls: it sends start, and then again repeatedly.
type stage struct {
	name         string
	scheme       string // http unless it is set
	noRead       bool   // it does not read the request
	early        bool   // it does not wait for the request
	start, again string
	want         Kind // "" if the status arrives, which is all that a delivery needs
	status       int
}

const chunkedOK = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// The stages of an HTTP exchange, from the server's side.
var stages = []stage{
	{name: "the request", noRead: true, want: KindTimeout},
	{name: "the handshake", scheme: "https", start: "\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", again: "\x00", want: KindTimeout},
	{name: "a handshake of empty records", scheme: "https", again: "\x16\x03\x03\x00\x00", want: KindTimeout},
	{name: "before the request", early: true, start: "HTTP/1.1 200 OK", again: "x", want: KindProtocol},
	{name: "the version", again: "H", want: KindTimeout},
	{name: "the status line", start: "HTTP/1.1 200 O", again: "K", want: KindTimeout},
	{name: "the header's lines", start: "HTTP/1.1 200 OK\r\n", again: "X-A: b\r\n", want: KindTimeout},
	{name: "a header's value", start: "HTTP/1.1 200 OK\r\nX-A: ", again: "b", want: KindTimeout},
	{name: "100 Continue", again: "HTTP/1.1 100 Continue\r\n\r\n", want: KindTimeout},
	{name: "102 Processing", again: "HTTP/1.1 102 Processing\r\n\r\n", want: KindProtocol},
	{name: "103 Early Hints", again: "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", want: KindTimeout},
	{name: "an unknown interim response", again: "HTTP/1.1 199 Later\r\n\r\n", want: KindProtocol},
	{name: "101 Switching Protocols", start: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", again: "x", want: KindProtocol},
	{name: "101 that switches to nothing", start: "HTTP/1.1 101 Switching Protocols\r\n\r\n", again: "x", want: KindProtocol},
	{name: "101 after an interim response", start: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", again: "x", want: KindProtocol},
	{name: "a body of a length", start: "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", again: "x", status: 200},
	{name: "a body until the end", start: "HTTP/1.1 500 Oh\r\n\r\n", again: "x", status: 500},
	{name: "chunks", start: chunkedOK, again: "1\r\nx\r\n", status: 200},
	{name: "a chunk's length", start: chunkedOK, again: "0", status: 200},
	{name: "a chunk's extension", start: chunkedOK + "1;", again: "x", status: 200},
	{name: "trailers", start: chunkedOK + "0\r\n", again: "X-A: b\r\n", status: 200},
	{name: "a trailer's value", start: chunkedOK + "0\r\nX-A: ", again: "b", status: 200},
	{name: "what follows 204", start: "HTTP/1.1 204 No Content\r\n\r\n", again: "x", status: 204},
}

// The rates at which it continues.
const (
	silent   = time.Duration(0)
	dripping = 10 * time.Millisecond
	flooding = time.Microsecond
)

var paces = map[string]time.Duration{"silent": silent, "dripping": dripping, "flooding": flooding}

// play is the server's side of one connection. It returns when the client has closed it;
// ended says that the attempt is over.
func (s stage) play(conn net.Conn, pace time.Duration, ended <-chan struct{}) {
	defer func() { _ = conn.Close() }()
	gone := make(chan struct{})
	if s.noRead {
		<-ended
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	if !s.early {
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return
		}
	}
	go func() { _, _ = io.Copy(io.Discard, conn); close(gone) }()
	if _, err := io.WriteString(conn, s.start); err != nil {
		return
	}
	if pace == silent {
		<-gone
		return
	}
	unit := []byte(s.again)
	if pace == flooding {
		unit = bytes.Repeat(unit, 64)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		if _, err := conn.Write(unit); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-gone:
			return
		}
	}
}

// kinds are the possible results of an attempt at the stage. A size limit may apply before
// the time limit.
func (s stage) kinds(pace time.Duration) []Kind {
	switch {
	case pace == silent && s.start == "":
		return []Kind{KindTimeout}
	case pace == silent && !s.early || s.noRead:
		return []Kind{s.want}
	case s.early:
		return []Kind{KindTimeout, KindProtocol}
	case s.want == KindProtocol:
		return []Kind{KindProtocol}
	}
	return []Kind{s.want, KindProtocol, KindTLS}
}

// A destination that answered 101 held its slot for ever: neither the attempt's timeout nor
// the body's limit applied to what followed.
func TestNoStageExceedsTheAttemptsTimeout(t *testing.T) {
	for _, s := range stages {
		for pace, every := range paces {
			t.Run(s.name+", "+pace, func(t *testing.T) {
				t.Parallel()
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				t.Cleanup(func() { _ = listener.Close() })
				left, ended := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(left)
					if conn, err := listener.Accept(); err == nil {
						s.play(conn, every, ended)
					}
				}()
				scheme := s.scheme
				if scheme == "" {
					scheme = "http"
				}
				body := "{}"
				if s.noRead {
					body = strings.Repeat("x", 32<<20) // more than the kernel buffers
				}
				c := localClient(t, Config{BodyTimeout: hostileTime})
				res, err := within(t, c, scheme+"://"+listener.Addr().String(), body)
				close(ended)
				c.Close() // a reusable connection stays open
				waitFor(t, left, "the connection to end with the attempt")
				if s.want == "" {
					require.NoError(t, err)
					require.Equal(t, s.status, res.Status)
					return
				}
				require.Error(t, err)
				require.Contains(t, s.kinds(every), KindOf(err), "%v", err)
				require.NotContains(t, err.Error(), "127.0.0.1")
			})
		}
	}
}

// A server with a full accept queue looks like a network that drops packets.
func TestConnectingDoesNotOutliveTheAttempt(t *testing.T) {
	to := fullQueue(t)
	_, err := within(t, localClient(t, Config{}), "http://"+to, "{}")
	require.Equal(t, KindTimeout, KindOf(err), "%v", err)
	require.ErrorContains(t, err, "connecting")
	_, err = within(t, localClient(t, Config{DialTimeout: 50 * time.Millisecond}), "http://"+to, "{}")
	require.EqualError(t, err, "no connection within 50ms")
	require.Equal(t, KindTimeout, KindOf(err))
}

// within sends a request with hostileTime, and fails the test if Do does not return.
func within(t *testing.T, c *Client, to, body string) (res Response, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, err = c.Do(req, nil)
	}()
	waitFor(t, done, "the attempt to end with its time")
	return res, err
}

func waitFor(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*waitTimeout)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		require.FailNow(t, "waited in vain for "+what)
	}
}

// fullQueue returns the address of a listener that accepts no further connection.
func fullQueue(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	at := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for range 16 {
		conn, err := net.DialTimeout("tcp", at, 100*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("this system's accept queue is unlimited")
	return ""
}
