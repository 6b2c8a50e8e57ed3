package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/client"
	"integration-gateway/platform/fault"
)

// serve starts a gateway that answers by h, and returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := client.New(client.Options{URL: s.URL, Key: "k-1", Timeout: 20 * time.Second})
	require.NoError(t, err)
	return c
}

func TestTheAddress(t *testing.T) {
	for given, want := range map[string]string{
		"https://g.example": "https://g.example/api/v1", "https://g.example/": "https://g.example/api/v1",
		"https://g.example/api/v1": "https://g.example/api/v1", "http://g.example:81/hooks": "http://g.example:81/hooks/api/v1",
	} {
		c, err := client.New(client.Options{URL: given})
		require.NoError(t, err)
		require.Equal(t, want, c.URL())
	}
	for _, wrong := range []string{"", "g.example", "ftp://g.example", "https://u:p@g.example", "https://g.example?x=1", "https://"} {
		_, err := client.New(client.Options{URL: wrong})
		require.Error(t, err, wrong)
		require.NotContains(t, err.Error(), "u:p")
	}
}

func TestAnErrorHasAllThatTheAnswerSays(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "k-1", r.Header.Get("x-internal-api-key"))
		w.Header().Set("x-correlation-id", "req-7")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"success":false,"error":{"code":"VALIDATION_ERROR","message":"from must be a time.","details":[{"field":"from","message":"must be a time"}]}}`)
	})
	_, err := c.Get(t.Context(), "/events", url.Values{"from": {"x"}}, nil)
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, &client.Error{Status: 400, Code: "VALIDATION_ERROR", Message: "from must be a time.",
		Fields: []client.Field{{Field: "from", Message: "must be a time"}}, RequestID: "req-7"}, e)
	require.False(t, client.IsNotFound(err))
}

func TestOnlyReadsAreTriedAgain(t *testing.T) {
	tries := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":{"code":"DEPENDENCY_UNAVAILABLE","message":"Later."}}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":{"n":12345678901234567890},"meta":null}`)
	})
	var out struct{ N json.Number }
	_, err := c.Get(t.Context(), "/x", nil, &out)
	require.NoError(t, err)
	require.Equal(t, "12345678901234567890", out.N.String())
	require.Equal(t, 3, tries)

	tries = 0
	for _, write := range []func() error{
		func() error { return c.Post(t.Context(), "/x", map[string]any{}, nil) },
		func() error { return c.Patch(t.Context(), "/x", map[string]any{}, nil) },
	} {
		before := tries
		require.Error(t, write())
		require.Equal(t, before+1, tries, "it may have been done")
	}
}

func TestNoAnswer(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c, err := client.New(client.Options{URL: gone.URL})
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/x", nil, nil)
	var away *client.Unreachable
	require.ErrorAs(t, err, &away)
	require.ErrorContains(t, err, "no answer from the gateway at "+gone.URL)

	silent := make(chan struct{})
	defer close(silent)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	c, err = client.New(client.Options{URL: s.URL, Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/x", nil, nil)
	require.ErrorAs(t, err, &away)
	require.ErrorContains(t, err, "no answer in time")
}

func TestWhatIsNoGateway(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/moved" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "<html>")
	})
	for _, path := range []string{"/x", "/moved"} {
		_, err := c.Get(t.Context(), path, nil, nil)
		require.ErrorContains(t, err, "is no gateway; check the address", "the key follows no redirect")
	}
}

func TestListsAreReadByCursor(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("cursor")+":"+q.Get("pageSize")+":"+q.Get("source"))
		next := map[string]string{"": `"b"`, "b": `"c"`, "c": "null"}[q.Get("cursor")]
		_, _ = fmt.Fprintf(w, `{"data":[{"id":"1"},{"id":"2"}],"meta":{"total":6,"nextCursor":%s}}`, next)
	})
	read := func(limit int) (n int) {
		asked = nil
		_, err := c.List(t.Context(), "/events", url.Values{"source": {"s"}}, limit, func(p client.Page) error {
			n += len(p.Items)
			return nil
		})
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 6, read(0))
	require.Equal(t, []string{":100:s", "b:100:s", "c:100:s"}, asked)
	require.Equal(t, 4, read(4))
	require.Equal(t, []string{":4:s", "b:2:s"}, asked)
	_, err := c.List(t.Context(), "/events", nil, 0, func(client.Page) error { return errors.New("enough") })
	require.EqualError(t, err, "enough")
}

func TestAStreamResumesBehindTheLastMessage(t *testing.T) {
	var lasts []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		lasts = append(lasts, r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream")
		if len(lasts) == 1 {
			_, _ = io.WriteString(w, ": hello\n\nid: 1\nevent: received\ndata: {\"a\":\ndata: 1}\n\nid: 2\ndata: half")
			return
		}
		_, _ = io.WriteString(w, "id:3\ndata:{}\n\n")
	})
	var got []client.Message
	enough := errors.New("enough")
	waited := 0
	err := c.Stream(t.Context(), "/events/stream", nil, "0", func(m client.Message) error {
		if got = append(got, m); len(got) == 2 {
			return enough
		}
		return nil
	}, func(error) { waited++ })
	require.Equal(t, enough, err)
	require.Equal(t, []client.Message{{ID: "1", Event: "received", Data: []byte("{\"a\":\n1}")}, {ID: "3", Data: []byte("{}")}}, got)
	require.Equal(t, []string{"0", "1"}, lasts, "a message that was cut off is asked for again")
	require.Equal(t, 1, waited)
}

func TestAStreamThatIsRefusedEnds(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":"FORBIDDEN","message":"This route needs the role viewer."}}`)
	})
	err := c.Stream(t.Context(), "/events/stream", nil, "", nil, nil)
	require.EqualError(t, err, "This route needs the role viewer.")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, c.Stream(ctx, "/events/stream", nil, "", nil, nil), "it was interrupted")
}

func TestATokenIsAskedForBeforeEachRequest(t *testing.T) {
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization")+r.Header.Get("X-Internal-Api-Key"))
		_, _ = io.WriteString(w, `{"data":null}`)
	}))
	t.Cleanup(s.Close)
	asked, refused := 0, fault.Unauthorized.New("x", "not logged in")
	c, err := client.New(client.Options{URL: s.URL, Key: "unused", Token: func(context.Context) (string, error) {
		if asked++; asked > 2 {
			return "", refused
		}
		return strconv.Itoa(asked), nil
	}})
	require.NoError(t, err)
	for range 2 {
		_, err = c.Get(t.Context(), "/events", nil, nil)
		require.NoError(t, err)
	}
	_, err = c.Get(t.Context(), "/events", nil, nil)
	require.ErrorIs(t, err, refused)
	require.Equal(t, []string{"Bearer 1", "Bearer 2"}, seen)
}

func TestAStreamEndsWithTheLogin(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, ": connected\n\n") }))
	t.Cleanup(s.Close)
	asked, refused := 0, fault.Unauthorized.New("x", "not logged in")
	c, err := client.New(client.Options{URL: s.URL, Token: func(context.Context) (string, error) {
		if asked++; asked > 1 {
			return "", refused
		}
		return "a", nil
	}})
	require.NoError(t, err)
	err = c.Stream(t.Context(), "/events/stream", nil, "", func(client.Message) error { return nil }, func(error) {})
	require.ErrorIs(t, err, refused)
}
