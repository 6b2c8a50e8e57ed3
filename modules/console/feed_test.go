package console

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// patience bounds the wait for something that must come.
const patience = 30 * time.Second

// streams is the API's event stream, of which each reading is told to opened.
type streams struct {
	opened   chan *httpapi.Scope
	messages chan string
}

// over serves the console over HTTP, with an event stream for its API.
func (f *fixture) over(t *testing.T) (*streams, string) {
	s := &streams{opened: make(chan *httpapi.Scope, 10), messages: make(chan string)}
	f.m.server.Routes().Viewer.Scoped().GET("/events/stream", func(c echo.Context) error {
		stream := httpapi.StreamOf(c)
		if err := stream.Open(); err != nil {
			return err
		}
		s.opened <- httpapi.ScopeOf(c.Request().Context())
		for {
			select {
			case <-c.Request().Context().Done():
				return nil
			case data := <-s.messages:
				name := "received"
				if data == "more" {
					name, data = data, "{}"
				}
				stream.Event(name, "", []byte(data))
				if err := stream.Flush(); err != nil {
					return err
				}
			}
		}
	}, httpapi.Spec{Stream: true, Media: httpapi.EventStream, Raw: true, Query: []httpapi.Param{httpapi.IntParam("perSecond", "", 2, 1000)}})
	server := httptest.NewServer(f.http)
	t.Cleanup(server.Close)
	t.Cleanup(f.m.server.Drain)
	return s, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// browse opens the console's stream with a session's cookie, until the test ends.
func (f *fixture) browse(t *testing.T, base string, cookie *http.Cookie) *bufio.Scanner {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/console/stream", http.NoBody)
	require.NoError(t, err)
	r.AddCookie(cookie)
	res, err := http.DefaultClient.Do(r) //nolint:bodyclose // by the cleanup
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	require.Equal(t, http.StatusOK, res.StatusCode)
	return bufio.NewScanner(res.Body)
}

// until reads lines up to one that begins so, and returns it.
func until(t *testing.T, lines *bufio.Scanner, start string) string {
	t.Helper()
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), start) {
			return lines.Text()
		}
	}
	require.Fail(t, "the stream ended", "before %s: %v", start, lines.Err())
	return ""
}

func TestBrowsersThatSeeTheSameShareOneStream(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	f.keys[idOf("1")] = httpapi.Caller{Actor: "api-key:ada", Role: httpapi.Viewer, Scope: &httpapi.Scope{Sources: []string{"b", "a"}}}
	f.keys[idOf("2")] = httpapi.Caller{Actor: "api-key:bob", Role: httpapi.Operator, Scope: &httpapi.Scope{Sources: []string{"a", "b"}}}
	f.keys[idOf("3")] = httpapi.Caller{Actor: "api-key:eve", Role: httpapi.Viewer, Scope: &httpapi.Scope{Sources: []string{"a"}}}
	s, base := f.over(t)
	first, second := f.browse(t, base, f.signIn("1")), f.browse(t, base, f.signIn("2"))
	require.Equal(t, []string{"b", "a"}, (<-s.opened).Sources)
	s.messages <- `{"source":"a","event":{"id":"1","provider":"acme","eventType":"order.created","status":"pending","subject":"ada"}}`
	for _, lines := range []*bufio.Scanner{first, second} {
		require.Equal(t, `data: {"source":"a","id":"1","provider":"acme","eventType":"order.created","status":"pending"}`, until(t, lines, "data: "))
	}
	s.messages <- "more"
	for _, lines := range []*bufio.Scanner{first, second} {
		require.Equal(t, "event: more", until(t, lines, "event: "))
	}
	require.Empty(t, s.opened, "both have one stream")
	f.browse(t, base, f.signIn("3"))
	require.Equal(t, []string{"a"}, (<-s.opened).Sources, "who sees less has another")
	f.browse(t, base, f.signIn(configuredKey))
	require.Nil(t, <-s.opened, "and who sees all")
}

func TestABrowserIsToldThatThereWasMore(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	l, fd := &listener{wake: make(chan struct{}, 1)}, &feed{listeners: map[*listener]bool{}}
	fd.listeners[l] = true
	for i := range maxWaiting + 2 {
		f.m.pass(fd, fmt.Sprintf("event: received\ndata: %d\n\n", i))
	}
	text, over, err := f.m.take(l)
	require.NoError(t, err)
	require.False(t, over)
	require.Equal(t, maxWaiting, strings.Count(text, "event: received"))
	require.True(t, strings.HasSuffix(text, fmt.Sprintf("data: %d\n\nevent: more\ndata: {}\n\n", maxWaiting-1)))
	text, _, _ = f.m.take(l)
	require.Empty(t, text)
}
