package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFloodComesFromOneAddressAndFromMany(t *testing.T) {
	served := make(chan *http.Request, 400)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case served <- r:
		default:
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	f, err := newFlood(server.Listener.Addr().String(), "flood", workload{payload: 340}, 100_000)
	require.NoError(t, err)
	stop := f.start(t.Context())
	addresses := map[string]int{}
	for range cap(served) {
		r := <-served
		require.Len(t, r.Header.Get("X-Acme-Signature"), 64)
		_, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For"))
		require.NoError(t, err)
		require.EqualValues(t, 340, r.ContentLength)
		addresses[r.Header.Get("X-Forwarded-For")]++
	}
	stop()
	require.Greater(t, addresses["198.18.0.1"], cap(served)/3)
	require.Greater(t, len(addresses), cap(served)/3)
	answers, err := f.answers()
	require.NoError(t, err)
	require.Len(t, answers["bad signatures"], 1)
	require.GreaterOrEqual(t, answers["bad signatures"]["401"], cap(served))

	f.note(http.StatusAccepted, nil)
	_, err = f.answers()
	require.ErrorContains(t, err, "were answered 202")
}
