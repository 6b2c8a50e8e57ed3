package ingestion

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// One request a minute that did not fit closed the quarantine of its source to everybody for
// the rest of the minute.
func TestALargeRequestLeavesTheQuarantineOpenToOthers(t *testing.T) {
	const perMinute = 64 << 10
	type sent struct {
		network string
		bytes   int // as stored, about; compression does not help
	}
	for _, c := range []struct {
		name string
		sent []sent
		pass time.Duration // until the next network sends
		kept map[string]int
		want map[string]int64 // causes of drops
	}{
		{"larger than the budget", []sent{{"1", 2 * perMinute}}, 0,
			map[string]int{"10.0.2": 3}, map[string]int64{dropTooBig: 1}},
		{"larger than what its network may have", []sent{{"1", perMinute * 4 / 10}, {"3", perMinute * 4 / 10}}, 0,
			map[string]int{"10.0.1": 1, "10.0.2": 3}, map[string]int64{dropMinute: 1}},
		{"many that wait for the next minute", []sent{{"1", perMinute * 4 / 10}, {"1", perMinute * 4 / 10}, {"1", perMinute * 4 / 10}}, time.Minute,
			map[string]int{"10.0.1": 1, "10.0.2": 3}, map[string]int64{dropMinute: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := newFakeClock()
			g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(conf *Config, d *Deps) {
				conf.MaxBodyBytes, conf.FailureLimitPerMinute, d.Now = 1<<20, 0, at.now
				conf.Quarantine = Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: 1 << 20, BytesPerMinute: perMinute}
			})
			chance := rand.NewChaCha8([32]byte{})
			for _, s := range c.sent {
				filler := make([]byte, s.bytes)
				_, _ = chance.Read(filler)
				body := strings.TrimSuffix(acmeBody("large"), "}") + `,"more":"` + base64.StdEncoding.EncodeToString(filler) + `"}`
				r := acmeRequest(body, "X-Acme-Signature", signWith("nobodys-secret", body))
				r.RemoteAddr = "10.0." + s.network + ".1:1"
				require.Equal(t, 401, g.do(r).Status)
			}
			at.pass(c.pass)
			require.Equal(t, 401, g.refusedFrom("10.0.2.1", "e1"))
			require.NoError(t, g.module.flushQuarantine(t.Context()))
			for _, id := range []string{"e2", "e3"} {
				require.Equal(t, 401, g.refusedFrom("10.0.2.1", id))
				require.NoError(t, g.module.flushQuarantine(t.Context()))
			}
			require.Equal(t, c.kept, g.networksOf())
			require.NoError(t, g.module.flushQuarantine(t.Context()))
			var all []QuarantineSummary
			require.NoError(t, json.Unmarshal(g.get("/quarantine/summary?source=acme").Data, &all))
			require.Equal(t, c.want, all[0].Dropped.Causes)
		})
	}
}

// Two client networks filled all that is there: the first request of a network passed as long
// as it fit.
func TestAFewNetworksDoNotTakeEverything(t *testing.T) {
	const total = 1 << 20
	s := newShares()
	most := func(h holder) (n int64) { // that fits
		for bit := int64(total); bit > 0; bit /= 2 {
			if s.fit(h, n+bit, total) {
				n += bit
			}
		}
		return n
	}
	others := int64(total)
	for i, want := range []int64{total / 2, total / 4, total / 8, total / 16, total / 32} {
		h := holder{"acme", fmt.Sprint(i)}
		require.EqualValues(t, want, most(h))
		s.take(h, 1)
		require.EqualValues(t, want-1, most(h), "a small first request gives no right to more")
		s.take(h, want-1)
		require.Zero(t, most(h))
		others -= want
		require.EqualValues(t, others, total-s.taken["acme"])
	}
	require.EqualValues(t, total/2, most(holder{"globex", "0"}), "another source has its own")

	s = newShares()
	for i := range 4 {
		require.True(t, s.fit(holder{network: fmt.Sprint(i)}, 1, 4), "to the last one")
		s.take(holder{network: fmt.Sprint(i)}, 1)
	}
	require.False(t, s.fit(holder{network: "4"}, 1, 4))
}

// A network that sent only what did not fit was packed and dropped again each time, as long as
// others had used little.
func TestAnExhaustedNetworkFitsNothingMore(t *testing.T) {
	s := newShares()
	s.exhaust(holder{"acme", "a"}, 100)
	require.False(t, s.fit(holder{"acme", "a"}, 1, 100))
	require.True(t, s.fit(holder{"acme", "b"}, 50, 100))
}
