package app

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/figures"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// TestTheFiguresOfASourceAreForThoseWhoSeeIt asks for them with each kind of key and token.
func TestTheFiguresOfASourceAreForThoseWhoSeeIt(t *testing.T) {
	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	now := clock.System()
	of := map[string]string{"acme": id.New(), "globex": id.New()}
	for source, destination := range of {
		g.figures.Received(source, "accepted", now, 0)
		g.figures.Attempted(contract.CountedAttempt{Source: source, DestinationID: destination, At: now, Took: time.Millisecond})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, g.figures.Run(ctx)) // which stores them at its end

	stats := func(key, query string) (s figures.Stats) {
		t.Helper()
		status, body := g.call("GET", "/api/v1/stats"+query, key, "")
		require.Equal(t, 200, status, string(body))
		var answer struct{ Data figures.Stats }
		require.NoError(t, json.Unmarshal(body, &answer))
		return answer.Data
	}
	accepted := func(key, query string) (n int64) {
		t.Helper()
		status, body := g.call("GET", "/api/v1/stats/series"+query, key, "")
		require.Equal(t, 200, status, string(body))
		var answer struct{ Data figures.Series }
		require.NoError(t, json.Unmarshal(body, &answer))
		for _, p := range answer.Data.Points {
			n += p.Accepted + p.Delivered
		}
		return n
	}
	for _, role := range []string{"viewer", "operator", "admin"} {
		for _, key := range []string{role, "token: " + role} {
			all := stats(key, "")
			require.Len(t, all.Sources, 2, key)
			require.NotNil(t, all.Gateway, key)
			require.EqualValues(t, 4, accepted(key, ""), key)
			require.EqualValues(t, 1, accepted(key, "?destination="+of["globex"]), key)

			key += " of acme"
			own := stats(key, "")
			require.Len(t, own.Sources, 1, key)
			require.Equal(t, "acme", own.Sources[0].Source)
			require.Len(t, own.Destinations, 1, key)
			require.Nil(t, own.Gateway, "%s sees nothing of the whole gateway", key)
			require.EqualValues(t, 2, accepted(key, ""), key)
			require.Zero(t, accepted(key, "?destination="+of["globex"]), key)
			require.Empty(t, stats(key, "?source=globex").Sources, key)
			require.Zero(t, accepted(key, "?source=globex"), key)
		}
	}
}
