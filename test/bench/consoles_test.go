package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConsolesSignInAndFollow(t *testing.T) {
	ends := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("console")
		switch {
		case r.Method == http.MethodPost && (r.Header.Get("Origin") != "http://"+r.Host || r.PostFormValue("key") != managementKey):
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodPost:
			http.SetCookie(w, &http.Cookie{Name: "console", Value: "x", Path: "/"})
			http.Redirect(w, r, "/console", http.StatusSeeOther)
		case err != nil || cookie.Value != "x":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/console/stream":
			_, _ = w.Write([]byte("event: received\ndata: {}\n\n"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-ends:
			case <-r.Context().Done():
			}
		}
	}))
	defer server.Close()
	c, stop, err := openConsoles(t.Context(), server.Listener.Addr().String(), 3)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.messages.Load() == 3 }, 20*time.Second, time.Millisecond)
	require.NoError(t, stop())

	c, stop, err = openConsoles(t.Context(), server.Listener.Addr().String(), 1)
	require.NoError(t, err)
	close(ends)
	require.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.failed != nil }, 20*time.Second, time.Millisecond)
	require.ErrorContains(t, stop(), "a console's stream ended")

	_, _, err = openConsoles(t.Context(), "127.0.0.1:1", 1)
	require.ErrorContains(t, err, "sign in")
}
