package app

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// TestListsAreFilteredBySourceDestinationAndTime reads every list with each of these filters,
// as far as its records have them, with a record of each of two sources.
func TestListsAreFilteredBySourceDestinationAndTime(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db)
		records := map[string]map[string]string{"acme": g.records("acme"), "globex": g.records("globex")}
		f := &fixture{system: g.system, t: t}
		past, future := clock.System().Add(-2*time.Hour).Format(time.RFC3339), clock.System().Add(2*time.Hour).Format(time.RFC3339)
		for list, name := range map[string]string{"events": "received", "deliveries": "created", "integrations": "created", "quarantine": "received",
			"dead-letters": "created", "replay-requests": "created"} {
			both := []string{records["acme"][list], records["globex"][list]}
			require.ElementsMatch(t, both, g.ids(list, "admin"), list)
			require.ElementsMatch(t, both, g.ids(list+"?"+name+"From="+past+"&"+name+"To="+future, "admin"), list)
			require.Empty(t, g.ids(list+"?"+name+"From="+future, "admin"), list)
			require.Empty(t, g.ids(list+"?"+name+"To="+past, "admin"), list)
			for _, source := range []string{"acme", "globex"} {
				require.Equal(t, []string{records[source][list]}, g.ids(list+"?source="+source, "admin"), list)
			}
			require.Equal(t, []string{records["acme"][list]}, g.ids(list+"?source=acme", "viewer of acme"), list)
			require.Empty(t, g.ids(list+"?source=globex", "viewer of acme"), list)
			require.Empty(t, g.ids(list+"?source=unknown", "admin"), list)
		}
		destination := f.text(`SELECT id FROM destinations WHERE integration_id = $1`, records["globex"]["integrations"])
		for _, list := range []string{"deliveries", "dead-letters"} {
			require.Equal(t, []string{records["globex"][list]}, g.ids(list+"?destinationId="+destination, "admin"), list)
		}
		require.Empty(t, g.ids("replay-requests?destinationId="+destination, "admin"), "those are of all destinations")
		for list, name := range map[string]string{"audit-entries": "created", "api-keys": "created"} {
			require.NotEmpty(t, g.ids(list+"?"+name+"From="+past+"&"+name+"To="+future, "admin"), list)
			require.Empty(t, g.ids(list+"?"+name+"From="+future, "admin"), list)
			require.Empty(t, g.ids(list+"?"+name+"To="+past, "admin"), list)
		}
		secrets := "integrations/" + records["acme"]["integrations"] + "/secrets"
		require.Len(t, g.ids(secrets+"?createdFrom="+past, "admin"), 1)
		require.Empty(t, g.ids(secrets+"?createdFrom="+future, "admin"))
		g.exec(`UPDATE delivery_attempts SET http_status = 503 WHERE id = $1`, records["acme"]["deliveries"])
		require.Equal(t, []string{records["acme"]["deliveries"]}, g.ids("deliveries?httpStatus=503", "admin"))
		require.Empty(t, g.ids("deliveries?httpStatus=500", "admin"))
		g.exec(`UPDATE quarantine SET source_ip = '203.0.113.9' WHERE id = $1`, records["acme"]["quarantine"])
		require.Equal(t, []string{records["acme"]["quarantine"]}, g.ids("quarantine?sourceIp=203.0.113.9", "admin"))
		require.Empty(t, g.ids("quarantine?sourceIp=203.0.113.8", "admin"))
		g.exec(`UPDATE quarantine SET external_event_id = 'evt_9' WHERE id = $1`, records["globex"]["quarantine"])
		require.Equal(t, []string{records["globex"]["quarantine"]}, g.ids("quarantine?externalEventId=evt_9", "admin"))
		require.Empty(t, g.ids("quarantine?externalEventId=evt_9", "viewer of acme"))
		g.exec(`UPDATE replay_requests SET destination_id = $2 WHERE id = $1`, records["acme"]["replay-requests"], destination)
		require.Equal(t, []string{records["acme"]["replay-requests"]}, g.ids("replay-requests?destinationId="+destination, "admin"))
	})
}

func (g *guarded) exec(statement string, args ...any) {
	g.t.Helper()
	require.NoError(g.t, g.db.InTx(g.t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(g.t.Context(), statement, args...)
		return err
	}))
}

// TestEveryListHasATime holds that a list of records that have a time can be bounded by it.
func TestEveryListHasATime(t *testing.T) {
	lists := 0
	for _, route := range wired(t).allRoutes() {
		for _, a := range route.Spec.Answers {
			if a.Shape != httpapi.Whole && a.Shape != httpapi.Page {
				continue
			}
			var bounds []string
			for _, name := range []string{"created", "received", "started"} {
				if hasField(a.Data, name+"At") {
					bounds = append(bounds, name)
				}
			}
			if len(bounds) == 0 {
				require.Contains(t, []string{"/api/v1/providers", "/api/v1/quarantine/summary", "/api/v1/alerts/conditions"}, route.Path, "its records have no time")
				continue
			}
			lists++
			require.True(t, slices.ContainsFunc(bounds, func(name string) bool { return has(route, name+"From") && has(route, name+"To") }), "%s: %v", route.Path, bounds)
			if hasField(a.Data, "source") && route.Path != "/api/v1/audit-entries" {
				require.True(t, has(route, "source"), route.Path)
			}
			if hasField(a.Data, "destinationId") {
				require.True(t, has(route, "destinationId"), route.Path)
			}
		}
	}
	require.GreaterOrEqual(t, lists, 9)
}

func has(route httpapi.Route, parameter string) bool {
	return slices.ContainsFunc(route.Spec.Query, func(p httpapi.Param) bool { return p.Name == parameter })
}

func hasField(t reflect.Type, name string) bool {
	for i := range t.NumField() {
		field := t.Field(i)
		if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag == name || field.Anonymous && tag == "" && hasField(field.Type, name) {
			return true
		}
	}
	return false
}

// TestTheLastMomentOfAWindowBelongsToIt holds that both ends of a window are included, and that
// the bound of the id, which goes by another clock, hides nothing.
func TestTheLastMomentOfAWindowBelongsToIt(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db)
		at := clock.System().Add(-24 * time.Hour)
		ids := g.records("acme")
		for i, ahead := range []time.Duration{-50 * time.Minute, 0, 50 * time.Minute} { // of the machine that made the id
			g.exec(`INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, duration_ms, created_at)
				SELECT $1, normalized_event_id, destination_id, job_id, $2, status, 1, $3 FROM delivery_attempts WHERE id = $4`,
				id.At(at.Add(ahead)), i+2, at, ids["deliveries"])
		}
		moment := at.Format(time.RFC3339Nano)
		require.Len(t, g.ids("deliveries?createdFrom="+moment+"&createdTo="+moment, "admin"), 3)
		require.Empty(t, g.ids("deliveries?createdFrom="+at.Add(time.Microsecond).Format(time.RFC3339Nano)+"&createdTo="+at.Add(time.Second).Format(time.RFC3339Nano), "admin"))
		status, _ := g.call(http.MethodGet, "/api/v1/deliveries?createdFrom=nonsense", "admin", "")
		require.Equal(t, http.StatusBadRequest, status)
	})
}
