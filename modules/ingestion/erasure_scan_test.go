package ingestion

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/redaction"
)

// holding looks for a value at paths.
func holding(t testing.TB, value string, paths ...string) Holds {
	t.Helper()
	var all redaction.Paths
	for _, path := range paths {
		one, err := redaction.ParsePath(path)
		require.NoError(t, err)
		all = all.And(one)
	}
	return func(req provider.Request) (found, read bool) { return provider.Holds(req, all, literal(value).is) }
}

func (g *gateway) withData(eventID, data string) string {
	g.t.Helper()
	a := g.do(acmeRequest(fmt.Sprintf(`{"eventId":%q,"eventType":"t","occurredAt":"2026-01-31T12:00:00Z","extra":{"of":"extra-%s"},"data":%s}`, eventID, eventID, data)))
	require.Less(g.t, a.Status, 300, "%+v", a.Error)
	return a.receipt(g.t).EventID
}

func TestEventsAreFoundByAValueAtAPath(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		first := g.withData("1", `{"email":"`+person+`"}`)
		g.withData("2", `{"name":"`+person+`"}`)
		escaped := g.withData("3", `{"list":[{"email":"\u0061da@example.com"}],"n":7}`)
		within := g.withData("4", `{"email":{"main":"`+person+`"}}`)
		g.withData("5", `{"email":"x`+person+`"}`)
		large := g.withData("6", `{"fill":"`+dense(50<<10)+`","email":"`+person+`"}`)
		require.Equal(t, []string{first, within, large}, g.eventsOf(contract.ErasureScan{}, holding(t, person, "$.data.email")))
		require.Equal(t, []string{first, escaped, within, large}, g.eventsOf(contract.ErasureScan{}, holding(t, person, "$..email")))
		require.Equal(t, []string{escaped}, g.eventsOf(contract.ErasureScan{}, holding(t, "7", "$.data.n")), "a number is a text")
		require.Equal(t, []string{first}, g.eventsOf(contract.ErasureScan{}, holding(t, "extra-1", "$.extra.of")), "what is in the body alone")
		require.Empty(t, g.eventsOf(contract.ErasureScan{Sources: []string{"globex"}}, holding(t, person, "$..email")))
		require.Empty(t, g.eventsOf(contract.ErasureScan{Sources: []string{}}, holding(t, person, "$..email")))
		require.Len(t, g.eventsOf(contract.ErasureScan{Sources: []string{"acme", "globex"}}, holding(t, person, "$..email")), 4)
		past := clock.System().Add(-time.Hour)
		require.Empty(t, g.eventsOf(contract.ErasureScan{ReceivedTo: &past}, holding(t, person, "$..email")))
		require.Equal(t, 1, g.forget(first))
		require.Equal(t, []string{within, large}, g.eventsOf(contract.ErasureScan{}, holding(t, person, "$.data.email")), "it is erased")
		g.exec(`UPDATE webhook_events SET raw_body = $1 WHERE id = (SELECT webhook_event_id FROM normalized_events WHERE id = $2)`, []byte{0xF9, 1, 2, 3, 4, 5}, within)
		page, err := g.module.ErasurePage(t.Context(), contract.ErasureScan{}, holding(t, person, "$.none"), contract.ReplayPosition{EventID: firstID}, clock.System().Add(time.Hour), 100)
		require.NoError(t, err)
		require.Equal(t, 1, page.Unreadable, "what is damaged is counted, and stops nothing")
	})
}

// TestAnItemOfABatchIsFoundAlone: a path that finds the value in an event finds no other event of
// its body; one that finds it in the body alone finds all events of it.
func TestAnItemOfABatchIsFoundAlone(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.batched(`{"id":1,"who":"alan"}`, `{"id":2,"who":"`+person+`"}`, `{"id":3,"who":"grace"}`, `{"id":4,"who":"grace"}`, `{"id":5,"who":"grace"}`)
		other := g.batch(`{"id":6,"who":"alan"}`, `{"id":7,"who":"alan"}`).EventIDs
		require.Equal(t, ids[1:2], g.eventsOf(contract.ErasureScan{}, holding(t, person, "$..who")))
		require.Equal(t, append(ids[:1:1], other...), g.eventsOf(contract.ErasureScan{}, holding(t, "alan", "$.data.who")))
		require.Equal(t, ids, g.eventsOf(contract.ErasureScan{}, holding(t, person, "$[1].who")))
		page, err := g.module.ErasurePage(t.Context(), contract.ErasureScan{}, nil, contract.ReplayPosition{EventID: firstID}, clock.System().Add(time.Hour), 6)
		require.NoError(t, err)
		require.Len(t, page.Events, 5, "a page ends between two webhooks")
		require.False(t, page.End)
	})
}

func TestAFormIsSearchedAsJSON(t *testing.T) {
	form := provider.Request{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte("From=%2B4912345&Body=hi")}
	found, read := holding(t, "+4912345", "$.From")(form)
	require.True(t, found)
	require.True(t, read)
	found, read = holding(t, "hi", "$.From")(form)
	require.False(t, found)
	require.True(t, read)
	_, read = holding(t, "hi", "$.a")(provider.Request{Body: []byte("hi")})
	require.False(t, read)
}

func TestEventsAreLookedUpForAnErasure(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		event := g.ofSubject("1", person)
		found, err := g.module.ErasureEvents(t.Context(), []string{event, "00000000-0000-7000-8000-000000000001"})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, "acme", found[0].Source)
	})
}

// TestAPageOfLargeContentsEndsEarly: a search of large events is done in pieces that take a bounded
// time.
func TestAPageOfLargeContentsEndsEarly(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, func(c *Config, _ *Deps) { c.MaxBodyBytes = 8 << 20 })
		large := g.withData("1", `{"fill":"`+dense(6<<20)+`"}`)
		for n := range 12 {
			g.exec(`UPDATE normalized_events SET normalized_payload = (SELECT e.normalized_payload FROM normalized_events e WHERE e.id = $1),
				webhook_event_id = (SELECT e.webhook_event_id FROM normalized_events e WHERE e.id = $1) WHERE id = $2`, large, g.withData(fmt.Sprint("x", n), `{"a":1}`))
		}
		for n := range contentBatch {
			g.withData(fmt.Sprint("y", n), `{"a":1}`)
		}
		last := g.withData("last", `{"email":"`+person+`"}`)
		page, err := g.module.ErasurePage(t.Context(), contract.ErasureScan{}, holding(t, person, "$.data.email"), contract.ReplayPosition{EventID: firstID}, clock.System().Add(time.Hour), 1000)
		require.NoError(t, err)
		require.False(t, page.End)
		require.Equal(t, contentBatch, page.Looked)
		require.Empty(t, page.Events)
		page, err = g.module.ErasurePage(t.Context(), contract.ErasureScan{}, holding(t, person, "$.data.email"), page.Last, clock.System().Add(time.Hour), 1000)
		require.NoError(t, err)
		require.True(t, page.End)
		require.Len(t, page.Events, 1)
		require.Equal(t, last, page.Events[0].EventID)
	})
}
