package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func TestARequestIsStoredDispatchedAndAuditedTogether(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		destination := id.New()
		status, a := f.call(t, http.MethodPost, "/events/"+strings.ToUpper(f.eventID)+"/replay",
			`{"requestedBy":" ada ","reason":"  the consumer was down\n","destinationId":"`+strings.ToUpper(destination)+`","onlyFailed":true}`)
		require.Equal(t, http.StatusAccepted, status)
		data := a.object(t)
		requestID := data["replayRequestId"].(string)
		require.Equal(t, map[string]any{"replayRequestId": requestID, "eventId": f.eventID}, data)
		require.True(t, id.Valid(requestID))

		require.Equal(t, []contract.ReplayOrder{{RequestID: requestID, EventID: f.eventID, DestinationID: &destination, OnlyFailed: true}}, f.dispatched)

		require.Len(t, f.entries, 1)
		entry := f.entries[0]
		require.Equal(t, "replay.requested", entry.Action)
		require.Equal(t, "normalized_event", entry.EntityType)
		require.Equal(t, &f.eventID, entry.EntityID)
		require.Equal(t, "management-key", entry.Actor, "the actor is the credential, not requestedBy")
		require.JSONEq(t, `{"replayRequestId":"`+requestID+`","requestedBy":"ada","reason":"the consumer was down","destinationId":"`+destination+`","onlyFailed":true}`,
			string(entry.Details))

		shown := f.show(t, requestID)
		created := shown["createdAt"]
		delete(shown, "createdAt")
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$`, created)
		require.Equal(t, map[string]any{
			"id": requestID, "normalizedEventId": f.eventID, "eventId": f.eventID, "destinationId": destination, "onlyFailed": true,
			"requestedBy": "ada", "reason": "the consumer was down", "actor": "management-key", "status": "queued",
			"replayId": nil, "errorMessage": nil, "dispatchedAt": nil, "completedAt": nil, "url": nil, "payload": "stored",
			"attempts": nil, "httpStatus": nil, "errorKind": nil,
		}, shown)
	})
}

func TestOmittedFieldsTakeTheirDefaults(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, body := range []string{`{"reason":"because"}`, `{"reason":"because","requestedBy":null,"destinationId":null,"onlyFailed":null}`} {
		status, a := f.call(t, http.MethodPost, "/events/"+f.eventID+"/replay", body)
		require.Equal(t, http.StatusAccepted, status)
		shown := f.show(t, a.object(t)["replayRequestId"].(string))
		require.Equal(t, "api-user", shown["requestedBy"])
		require.Nil(t, shown["destinationId"])
		require.Equal(t, false, shown["onlyFailed"])
		require.JSONEq(t, `null`, string(detail(t, f.entries[len(f.entries)-1], "destinationId")))
	}
}

func detail(t *testing.T, e contract.AuditEntry, name string) json.RawMessage {
	t.Helper()
	var details map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(e.Details, &details))
	require.Contains(t, details, name)
	return details[name]
}

func TestInvalidFieldsAreReportedByName(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	by := func(n int) string { return `{"reason":"because","requestedBy":"` + strings.Repeat("ü", n) + `"}` }
	why := func(n int) string { return `{"reason":"` + strings.Repeat("ü", n) + `"}` }
	const unprocessed = ""
	for _, test := range []struct {
		name, body string
		status     int
		fields     string
	}{
		{"one character is no name", by(1), 400, "requestedBy"},
		{"two are", by(2), 202, ""},
		{"120 characters are, however many bytes", by(120), 202, ""},
		{"121 are too many", by(121), 400, "requestedBy"},
		{"an empty name is not the default", by(0), 400, "requestedBy"},
		{"space around a name does not count", `{"reason":"because","requestedBy":"  a  "}`, 400, "requestedBy"},
		{"four characters are no reason", why(4), 400, "reason"},
		{"five are", why(5), 202, ""},
		{"500 are", why(500), 202, ""},
		{"501 are too many", why(501), 400, "reason"},
		{"space is no reason", `{"reason":"          "}`, 400, "reason"},
		{"space around a long reason does not count", `{"reason":"  ` + strings.Repeat("x", 500) + `  "}`, 202, ""},
		{"the reason is required", `{}`, 400, "reason"},
		{"null is no reason", `{"reason":null}`, 400, "reason"},
		{"a number is no reason", `{"reason":12345}`, 400, "reason"},
		{"NUL is refused here, not by the database", `{"reason":"because\u0000"}`, 400, "reason"},
		{"a lone surrogate is replaced", `{"reason":"because \ud800"}`, 202, ""},
		{"a destination is a UUID", `{"reason":"because","destinationId":"7"}`, 400, "destinationId"},
		{"a word is no boolean", `{"reason":"because","onlyFailed":"yes"}`, 400, "onlyFailed"},
		{"all invalid fields are reported together", `{"requestedBy":"a","reason":"b","destinationId":"c"}`, 400, "requestedBy reason destinationId"},
		{"an empty body", ``, 400, unprocessed},
		{"half a body", `{"reason":`, 400, unprocessed},
		{"an array", `[]`, 400, unprocessed},
		{"an oversized body", `{"reason":"` + strings.Repeat(" ", 20_000) + `"}`, 413, unprocessed},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.dispatched, f.entries = nil, nil
			status, a := f.call(t, http.MethodPost, "/events/"+f.eventID+"/replay", test.body)
			require.Equal(t, test.status, status, a.Error)
			require.Equal(t, test.fields, strings.Join(a.fields(), " "))
			require.Equal(t, status == 202, len(f.dispatched) == 1)
			require.Equal(t, status == 202, len(f.entries) == 1)
		})
	}
}

func TestTheEventMustExist(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		status, a := f.call(t, http.MethodPost, "/events/"+id.New()+"/replay", `{"reason":"because"}`)
		require.Equal(t, http.StatusNotFound, status)
		require.Equal(t, "NOT_FOUND", a.Error.Code)
		status, a = f.call(t, http.MethodPost, "/events/7/replay", `{"reason":"because"}`)
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, []string{"id"}, a.fields())
		require.Empty(t, f.dispatched)
		_, a = f.call(t, http.MethodGet, "/replay-requests", "")
		require.Zero(t, a.Meta.Total)
	})
}

func TestAFailedReplayStoresNothing(t *testing.T) {
	foreign := fault.Invalid.New("unknown_destination", "The destination is not one of the integration's.").At("destinationId")
	tests := []struct {
		name     string
		dispatch error
		audit    error
		status   int
		fields   []string
	}{
		{"another integration's destination is a client error", foreign, nil, 400, []string{"destinationId"}},
		{"a failure to store jobs is a server error", errors.New("no such table: processing_jobs"), nil, 500, []string{}},
		{"a failing audit is a server error", nil, errors.New("no such table: audit_entries"), 500, []string{}},
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				f := setup(t, db)
				f.dispatchErr, f.auditErr = test.dispatch, test.audit
				status, a := f.call(t, http.MethodPost, "/events/"+f.eventID+"/replay", `{"reason":"because"}`)
				require.Equal(t, test.status, status)
				require.Equal(t, test.fields, a.fields())
				require.NotContains(t, a.Error.Message, "table")
				var n int
				require.NoError(t, db.Get(context.Background(), &n, `SELECT count(*) FROM replay_requests`))
				require.Zero(t, n)
			})
		}
	})
}

func TestRequestsAreListedNewestFirst(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		first, second := f.request(t), f.request(t)
		firstEvent := f.eventID
		f.eventID = id.New()
		third := f.request(t)
		f.inTx(t, func(ctx context.Context, tx *database.Tx) error {
			return f.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: second, EventID: firstEvent}})
		})
		for _, test := range []struct {
			name, query string
			want        []string
		}{
			{"all", "", []string{third, second, first}},
			{"of an event", "?eventId=" + firstEvent, []string{second, first}},
			{"an id may be in upper case", "?eventId=" + strings.ToUpper(f.eventID), []string{third}},
			{"in a status", "?status=queued", []string{third, first}},
			{"of an event and in a status", "?status=completed&eventId=" + firstEvent, []string{second}},
			{"none", "?status=failed", []string{}},
			{"the second page", "?page=2&pageSize=2", []string{first}},
		} {
			t.Run(test.name, func(t *testing.T) {
				status, a := f.call(t, http.MethodGet, "/replay-requests"+test.query, "")
				require.Equal(t, 200, status)
				require.Equal(t, test.want, a.ids(t))
			})
		}
		_, a := f.call(t, http.MethodGet, "/replay-requests?pageSize=2", "")
		require.Equal(t, 3, a.Meta.Total)
		require.NotNil(t, a.Meta.NextCursor)
		_, rest := f.call(t, http.MethodGet, "/replay-requests?pageSize=2&cursor="+*a.Meta.NextCursor, "")
		require.Equal(t, []string{first}, rest.ids(t))
		require.Nil(t, rest.Meta.NextCursor)
	})
}

func TestInvalidQueriesAreRejectedByParameter(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for query, field := range map[string]string{
		"?status=done": "status", "?eventId=7": "eventId", "?page=0": "page", "?pageSize=101": "pageSize", "?cursor=x": "cursor",
	} {
		status, a := f.call(t, http.MethodGet, "/replay-requests"+query, "")
		require.Equal(t, 400, status)
		require.Equal(t, []string{field}, a.fields())
	}
	status, a := f.call(t, http.MethodGet, "/replay-requests/7", "")
	require.Equal(t, 400, status)
	require.Equal(t, []string{"id"}, a.fields())
	status, a = f.call(t, http.MethodGet, "/replay-requests/"+id.New(), "")
	require.Equal(t, 404, status)
	require.Equal(t, "NOT_FOUND", a.Error.Code)
}

func TestEveryRouteNeedsTheManagementKey(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	requestID := f.request(t)
	for _, route := range []struct{ method, path, body string }{
		{http.MethodPost, "/events/" + f.eventID + "/replay", `{"reason":"because"}`},
		{http.MethodGet, "/replay-requests", ""},
		{http.MethodGet, "/replay-requests/" + requestID, ""},
	} {
		for _, key := range []string{"", "another-key-altogether"} {
			status, a := f.callAs(t, key, route.method, route.path, route.body)
			require.Equal(t, 401, status)
			require.Nil(t, a.Data)
		}
	}
	require.Len(t, f.dispatched, 1)
}

func TestADatabaseOutageIsNotAClientError(t *testing.T) {
	db, err := database.Open(database.Config{URL: "postgres://gateway@127.0.0.1:1/gateway?sslmode=disable"}, clock.System)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	f := setup(t, db)
	for _, route := range []struct{ method, path, body string }{
		{http.MethodPost, "/events/" + f.eventID + "/replay", `{"reason":"because"}`},
		{http.MethodGet, "/replay-requests", ""},
		{http.MethodGet, "/replay-requests/" + id.New(), ""},
	} {
		status, a := f.call(t, route.method, route.path, route.body)
		require.Equal(t, 503, status)
		require.Equal(t, "DEPENDENCY_UNAVAILABLE", a.Error.Code)
	}
}

func TestIdsGrowWithTime(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	var ids []string
	for range 20 {
		ids = append(ids, f.request(t))
	}
	require.True(t, slices.IsSorted(ids))
}
