package ingestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func TestTheMarkerAnswersOnlyWhatIsCommitted(t *testing.T) {
	memory := cache.NewMemory(0, clock.System)
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Cache = memory })
	marker := func(key string) string {
		claimed, err := memory.Claim(t.Context(), []cache.Claim{{Key: markerKey(key), TTL: time.Minute}})
		require.NoError(t, err)
		return claimed[0].Value
	}
	g.audit.poison = "venom"
	require.Error(t, g.module.commit([]arrival{g.arrival("venom", "b")})[0].Err)
	require.Empty(t, marker("acme:b"), "nothing was committed")
	g.audit.poison = ""

	stored := g.module.commit([]arrival{g.arrival("venom", "b")})[0]
	require.NoError(t, stored.Err)
	require.False(t, stored.Value.Duplicate, "an empty marker decides nothing")
	require.Equal(t, stored.Value.EventID+" of-b", marker("acme:b"))

	again := g.arrival("t", "b")
	require.NoError(t, g.db.Close())
	repeat := g.module.commit([]arrival{again})[0]
	require.NoError(t, repeat.Err, "a repeat needs no database")
	require.Equal(t, receipt{EventID: stored.Value.EventID, Status: "duplicate", Duplicate: true, CorrelationID: "of-b"}, repeat.Value)
}

func TestMarkersThatAreNoneDecideNothing(t *testing.T) {
	for _, value := range []string{"", "x", "x y", id.New(), id.New() + " "} {
		_, ok := parseMarker(value)
		require.False(t, ok, "%q", value)
	}
	k := known{id.New(), "trace:1"}
	parsed, ok := parseMarker(k.marker())
	require.True(t, ok)
	require.Equal(t, k, parsed)
}

func TestARepeatIsMarkedAgainWhenTheCacheForgot(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Cache = down{} })
	first := g.module.commit([]arrival{g.arrival("t", "a")})[0].Value
	g.module.d.Cache = cache.NewMemory(0, g.module.d.Now)
	repeat := g.arrival("t", "a")
	require.Equal(t, first.EventID, g.module.commit([]arrival{repeat})[0].Value.EventID)
	seen := g.module.look(t.Context(), []arrival{repeat})
	require.Equal(t, sighting{at: map[string]known{"acme:a": {first.EventID, "of-a"}}, fresh: true}, seen)
}

func TestKeysAreFreshWhenTheCacheKnowsNoneOfThemThatIsNotCommitted(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	a := g.arrival("t", "a")
	require.True(t, g.module.look(t.Context(), []arrival{a}).fresh)
	require.False(t, g.module.look(t.Context(), []arrival{a, g.arrival("t", "b")}).fresh, "somebody may be about to commit a")
	g.module.d.Cache = down{}
	require.False(t, g.module.look(t.Context(), []arrival{g.arrival("t", "c")}).fresh, "nobody knows")
}
