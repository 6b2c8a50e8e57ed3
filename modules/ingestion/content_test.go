package ingestion

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// dense is text of n bytes that does not compress well.
func dense(n int) string {
	random := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // repeatable
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('0' + random.IntN(10))
	}
	return string(text)
}

// batched makes the source many, whose webhooks are arrays of items, and sends one.
func (g *gateway) batched(items ...string) (eventIDs []string) {
	g.t.Helper()
	g.sources.manage(g.t, http.MethodPost, "", `{"source":"many","provider":"generic","secrets":["first-secret"],"options":{"generic":{"scheme":"token",
		"signature":{"header":"X-Token"},"event":{"type":"text:t","id":"$.id","subject":"$.who","items":true}}}}`)
	return g.batch(items...).EventIDs
}

func (g *gateway) batch(items ...string) receipt {
	g.t.Helper()
	r := request("many", "["+strings.Join(items, ",")+"]")
	r.Header.Set("X-Token", "first-secret")
	a := g.do(r)
	require.Less(g.t, a.Status, 300, "%+v", a.Error)
	received := a.receipt(g.t)
	if received.EventIDs == nil {
		received.EventIDs = []string{received.EventID}
	}
	return received
}

// allocated is how many bytes do allocates.
func allocated(do func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // it grows
}

// TestABatchIsNotReadForEachOfItsEvents: a list of 60 events of a batch of 3 MB read 180 MB. It
// runs beside no other test, since it looks at what the process allocates.
func TestABatchIsNotReadForEachOfItsEvents(t *testing.T) { //nolint:paralleltest // see above
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, func(c *Config, _ *Deps) { c.MaxBodyBytes = 8 << 20 })
		items := []string{`{"id":"large","data":"` + dense(3<<20) + `"}`}
		for n := range 60 {
			items = append(items, fmt.Sprintf(`{"id":%d,"who":"grace"}`, n))
		}
		ids := g.batched(items...)[1:]
		const bound = 30 << 20 // with the test's own decoding
		size := len(strings.Join(items, ",")) + len("[]")
		require.Less(t, allocated(func() {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/events?subject=grace&pageSize=60", http.NoBody)
			r.Header.Set(httpapi.HeaderManagementKey, managementKey)
			a := httptest.NewRecorder()
			g.router.ServeHTTP(a, r) // without the check of the answer, which allocates much
			require.Equal(t, http.StatusOK, a.Code)
			require.Equal(t, 60, strings.Count(a.Body.String(), `"who":"grace"`))
		}), bound)
		require.Less(t, allocated(func() {
			found, err := g.module.Deliverables(t.Context(), ids)
			require.NoError(t, err)
			require.Len(t, found, 60)
			for _, d := range found {
				require.Contains(t, string(d.Payload), `"who":"grace"`)
			}
		}), bound)
		require.Less(t, allocated(func() {
			found, err := g.module.Originals(t.Context(), ids)
			require.NoError(t, err)
			require.Len(t, found, 60)
			for _, o := range found {
				require.Len(t, o.Body, size, "events of one webhook share its body")
			}
		}), bound)
	})
}

// TestWhatOneReadHoldsIsBounded has payloads that are stored small and large, and together are
// more than a read may hold.
func TestWhatOneReadHoldsIsBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, func(c *Config, _ *Deps) { c.MaxBodyBytes = 16 << 20 })
		var ids []string
		for n, filler := range []string{strings.Repeat("x", 11<<20), dense(11 << 20), strings.Repeat("y", 11<<20), "small"} {
			ids = append(ids, g.do(acmeRequest(fmt.Sprintf(`{"eventId":"e%d","eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":{"fill":%q}}`, n, filler))).receipt(t).EventID)
		}
		var list []struct {
			ID                string          `json:"id"`
			NormalizedPayload json.RawMessage `json:"normalizedPayload"`
			PayloadOmitted    bool            `json:"payloadOmitted"`
		}
		a := g.get("/events?sortBy=createdAt&sortOrder=asc")
		require.Equal(t, http.StatusOK, a.Status, "%+v", a.Error)
		require.NoError(t, json.Unmarshal(a.Data, &list))
		require.Len(t, list, 4)
		for i, e := range list {
			require.Equal(t, ids[i], e.ID)
			require.Equal(t, i == 2, e.PayloadOmitted, "the third does not fit, the small one after it does")
			require.Equal(t, i == 2, string(e.NormalizedPayload) == "null")
		}
		var one struct {
			Event struct {
				NormalizedPayload json.RawMessage `json:"normalizedPayload"`
				PayloadOmitted    bool            `json:"payloadOmitted"`
			} `json:"event"`
		}
		require.NoError(t, json.Unmarshal(g.get("/events/"+ids[2]).Data, &one))
		require.False(t, one.Event.PayloadOmitted)
		require.Greater(t, len(one.Event.NormalizedPayload), 11<<20)

		found, err := g.module.Deliverables(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, found, 4)
		deferred := waiting(found)
		require.Len(t, deferred, 1)
		found, err = g.module.Deliverables(t.Context(), deferred)
		require.NoError(t, err)
		require.Empty(t, waiting(found), "the first of a read is never deferred")
		require.Greater(t, len(found[0].Payload), 11<<20)

		originals, err := g.module.Originals(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, originals, 4)
		bodies := 0
		for _, o := range originals {
			require.Equal(t, o.Deferred, len(o.Body) == 0)
			bodies += len(o.Body)
		}
		require.LessOrEqual(t, bodies, maxContent)
	})
}

func waiting(found []contract.Deliverable) (ids []string) {
	for _, d := range found {
		if d.Deferred {
			ids = append(ids, d.EventID)
		}
	}
	return ids
}

// TestAPayloadThatNeedsALargeBodyIsRead: payload and body are too large for the event's row.
func TestAPayloadThatNeedsALargeBodyIsRead(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, func(c *Config, _ *Deps) { c.MaxBodyBytes = 1 << 20 })
		ids := g.batched(`{"id":1,"who":"ada","note":"`+dense(100<<10)+`"}`, `{"id":2,"who":"grace","note":"`+dense(90<<10)+`"}`)
		var stored [][]byte
		require.NoError(t, db.Select(t.Context(), &stored, `SELECT normalized_payload FROM normalized_events ORDER BY id`))
		require.True(t, compact.NeedsBase(stored[0]) && compact.NeedsBase(stored[1]))
		found, err := g.module.Deliverables(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, found, 2)
		for _, d := range found {
			require.NoError(t, d.Unreadable)
			require.Greater(t, len(d.Payload), 90<<10)
		}
		require.Equal(t, 1, g.forget(ids[0]))
		found, err = g.module.Deliverables(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.NoError(t, found[0].Unreadable, "it was detached from the body")
		require.Contains(t, string(found[0].Payload), `"who":"grace"`)
	})
}
