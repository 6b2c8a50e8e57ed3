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
	f, err := newFlood(server.Listener.Addr().String(), "flood", cell{payload: 340}, 100_000)
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
	n, err := f.refused()
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, cap(served))

	f.note(http.StatusAccepted, nil)
	_, err = f.refused()
	require.ErrorContains(t, err, "were answered 202")
}

func TestAFloodThatTakesMoreThanATenthFails(t *testing.T) {
	turn := func(with bool, rate float64) floodTurn {
		return floodTurn{withTheFlood: with, measured: measured{acceptRate: rate}}
	}
	r := floodResult{turns: []floodTurn{turn(false, 100), turn(true, 91), turn(false, 100), turn(true, 90)}}
	require.InDelta(t, 0.905, r.kept(), 1e-9)
	require.NoError(t, r.fails())
	r.turns[1] = turn(true, 89)
	require.ErrorContains(t, r.fails(), "left 90 %")
	r.turns[1] = turn(true, 100)
	r.turns[1].problems = map[string]int{"answered 429": 1}
	require.ErrorContains(t, r.fails(), "not answered 2xx")
}
