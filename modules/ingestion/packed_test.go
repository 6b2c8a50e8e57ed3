package ingestion

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// Bodies of 4 kB that unpack to 5 MB and never end held all the memory that there is for
// bodies, and every webhook was answered 503 for a minute.
func TestTruncatedGzipBodiesTakeNoMoreMemoryThanTheirBytes(t *testing.T) {
	const limit = 5 << 20
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, _ *Deps) { c.MaxBodyBytes = limit })
	server := httptest.NewServer(g.handler)
	defer server.Close()
	bomb := packed(t, bytes.Repeat([]byte(" "), limit-1))
	require.Less(t, len(bomb), 6<<10)
	for range 80 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_, err = fmt.Fprintf(conn, "POST /api/v1/webhooks/acme HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(bomb))
		require.NoError(t, err)
		_, err = conn.Write(bomb[:len(bomb)-9]) // all but the end and one byte
		require.NoError(t, err)
	}
	for i := range 5 {
		body := acmeBody(fmt.Sprint("good-", i))
		body = strings.TrimSuffix(body, "}") + `,"more":"` + strings.Repeat("x", 1<<20) + `"}`
		r, err := http.NewRequest(http.MethodPost, server.URL+"/api/v1/webhooks/acme", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Acme-Signature", sign(body))
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		said, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusAccepted, res.StatusCode, "%s", said)
	}
}

// Of an address that is blocked for its refusals little is unpacked of what strangers send, and good
// webhooks of it pass all the same, packed ones too.
func TestLittleIsDecompressedForABlockedAddress(t *testing.T) {
	now := newFakeClock()
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, d *Deps) {
		c.MaxBodyBytes, c.FailureLimitPerMinute, d.Now = 5<<20, 1, now.now
	})
	send := func(wire []byte, signature string) string {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/acme", bytes.NewReader(wire))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("X-Acme-Signature", signature)
		a := g.do(r)
		return strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Error.Code))
	}
	good := func(eventID string, filler int) string {
		body := strings.TrimSuffix(acmeBody(eventID), "}") + `,"more":"` + strings.Repeat("x", filler) + `"}`
		return send(packed(t, []byte(body)), sign(body))
	}
	unpacked := func() int64 { return g.module.blocked.until["192.0.2.1"].unpacked }
	bomb := packed(t, bytes.Repeat([]byte(" "), 4<<20))
	require.Equal(t, "401 UNAUTHORIZED", send(bomb, sign("other")))
	require.Equal(t, "429 RATE_LIMITED", send(bomb, sign("other")), "the one that is too many")
	require.Zero(t, unpacked())
	for i := range 3 {
		require.Equal(t, "202", good(fmt.Sprint("large-", i), 4*freeUnpacked), "genuine ones are charged nothing")
		require.Zero(t, unpacked())
	}
	for i := range 8 {
		require.Equal(t, "429 RATE_LIMITED", send(bomb, sign("other")))
		require.EqualValues(t, min(i+1, 4)*4<<20, unpacked(), "four of these are unpacked")
	}
	require.Equal(t, "202", good("small", 100), "what is of usual size passes whatever strangers send")
	require.Equal(t, "202", good("at the bound", freeUnpacked-200))
	require.Equal(t, "429 RATE_LIMITED", good("large", freeUnpacked), "the rest of its minute one that grows as much has to be sent as it is")
	require.EqualValues(t, maxUnpacked, unpacked())
	now.pass(time.Minute)
	require.Equal(t, "202", good("large", freeUnpacked))
}

// A body that is too large, or breaks off at its end, was unpacked again and again for nothing;
// then one that is broken from its first byte was charged as if it were whole.
func TestWhatBreaksOffIsChargedAsWhatWasUnpacked(t *testing.T) {
	const limit = 5 << 20
	whole := packed(t, bytes.Repeat([]byte(" "), limit))
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		wire    []byte
		answer  string
		charged int
	}{
		{"too large", t.Context(), packed(t, bytes.Repeat([]byte(" "), limit+1)), "429 RATE_LIMITED", limit},
		{"with a wrong ending", t.Context(), append(slices.Clone(whole[:len(whole)-8]), make([]byte, 8)...), "429 RATE_LIMITED", limit},
		{"broken from its first byte", t.Context(), append([]byte("x"), whole[1:]...), "429 RATE_LIMITED", 0},
		{"broken after its header", t.Context(), append(slices.Clone(whole[:10]), bytes.Repeat([]byte{0xff}, 5000)...), "429 RATE_LIMITED", 0},
		{"of a caller who leaves", gone, whole, "503 DEPENDENCY_UNAVAILABLE", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := newFakeClock()
			g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(conf *Config, d *Deps) {
				conf.MaxBodyBytes, conf.FailureLimitPerMinute, d.Now = limit, 1, now.now
			})
			for i := range 2 {
				require.Equal(t, []int{401, 429}[i], g.sentTo("acme", "nobodys-secret", fmt.Sprint(i)), "its refusals are used up")
			}
			for i := range 3 {
				r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/acme", bytes.NewReader(c.wire)).WithContext(c.ctx)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Content-Encoding", "gzip")
				a := g.do(r)
				require.Equal(t, c.answer, strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Error.Code)))
				require.EqualValues(t, (i+1)*c.charged, g.module.blocked.until["192.0.2.1"].unpacked)
			}
		})
	}
}

// What waited to be unpacked was unpacked, though its address had used up its minute by then.
func TestWhatWaitsToBeUnpackedIsJudgedAgain(t *testing.T) {
	const size = 4 << 20
	slots := max(1, runtime.GOMAXPROCS(0)/2)
	at := newFakeClock()
	var asked chan struct{}
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, d *Deps) {
		c.MaxBodyBytes, c.FailureLimitPerMinute = size, 1
		d.Now = func() time.Time {
			if asked != nil {
				asked <- struct{}{}
			}
			return at.now()
		}
	})
	held, release := make(chan struct{}), make(chan struct{})
	wire := packed(t, bytes.Repeat([]byte(" "), size))
	g.router.POST("/hold", func(c echo.Context) error {
		n := 0
		_, err := httpapi.Unpack(c, wire, func() int64 {
			if n++; n == 2 { // it has a slot
				held <- struct{}{}
				<-release
			}
			return size
		}, func(int64, error) {})
		return err
	})
	for i := range 2 {
		require.Equal(t, []int{401, 429}[i], g.sentTo("acme", "nobodys-secret", fmt.Sprint(i)), "its refusals are used up")
	}
	var running sync.WaitGroup
	for range slots {
		running.Go(func() {
			g.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/hold", http.NoBody))
		})
		<-held
	}
	waiting := 8 + 2*slots
	asked = make(chan struct{}, 1000)
	for range waiting {
		running.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/acme", bytes.NewReader(wire))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Content-Encoding", "gzip")
			g.handler.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	for range 2 * waiting { // when each was received, and whether it may be unpacked
		<-asked
	}
	close(release)
	running.Wait()
	unpacked := g.module.blocked.until["192.0.2.1"].unpacked
	require.GreaterOrEqual(t, unpacked, int64(maxUnpacked))
	require.LessOrEqual(t, unpacked, int64(maxUnpacked+(slots-1)*size), "and what was unpacked at once")
}
