package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASiegeAttacksFromManyNetworks(t *testing.T) {
	var mu sync.Mutex
	paths, created := map[string]int{}, 0
	seen := make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/api/v1/integrations" {
			created++
			w.WriteHeader(http.StatusCreated)
			return
		}
		paths[r.RemoteAddr[:len("127.1.1.1")]]++
		select {
		case seen <- struct{}{}:
		default:
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	s, err := newSiege(server.Listener.Addr().String(), "http://127.0.0.1:1")
	require.NoError(t, err)
	require.Equal(t, 3, created)
	stop := s.start(t.Context())
	for range 100 {
		<-seen
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, paths, len(s.attacks))
	responses, err := s.answers()
	require.NoError(t, err)
	require.Len(t, responses, len(s.attacks))
	for name, of := range responses {
		require.NotEmpty(t, of, name)
	}
}
