package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// ask reads the data at a path.
func ask[T any](h *harness, path string) (data T) {
	h.t.Helper()
	code, answer := h.api()(http.MethodGet, path, "")
	require.Equal(h.t, http.StatusOK, code, answer)
	text, err := json.Marshal(answer["data"])
	require.NoError(h.t, err)
	require.NoError(h.t, json.Unmarshal(text, &data))
	return data
}

// summed is a group without its dead letters.
func summed(g DeadLetterGroup) string {
	destination := "none"
	if g.DestinationID != nil {
		destination = (*g.DestinationID)[35:]
	}
	return fmt.Sprintf("%d %s %s %s, newest %d, %s", g.Count, destination, g.Kind, g.Reason, len(g.Newest), g.Last.Sub(g.First.Time))
}

func TestDeadLettersAreGroupedByDestinationAndError(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{})
		require.Equal(t, DeadLetterGroups{Groups: []DeadLetterGroup{}}, ask[DeadLetterGroups](h, "/dead-letters/groups"))
		const a, b = "0195aaaa-0000-7000-8000-00000000000a", "0195aaaa-0000-7000-8000-00000000000b"
		at, last := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), ""
		add := func(n int, kind string, destination any, source any, reason, status string) {
			for range n {
				at = at.Add(time.Second)
				last = id.Floor(at)
				h.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, source, reason, attempts, status, created_at)
					VALUES ($1, $2, 'q', $1, $3, $4, $5, 1, $6, $7)`, last, kind, destination, source, reason, status, at)
			}
		}
		add(12, "exhausted", a, "acme", "HTTP 500", "open")
		add(2, "refused", b, "globex", "HTTP 410", "open")
		add(3, "exhausted", a, "acme", "a timeout", "open")
		add(1, "unreadable", nil, nil, "no JSON", "open")
		add(7, "exhausted", a, "acme", "HTTP 500", "resolved")
		add(1, "exhausted", a, "acme", "HTTP 500", "open")

		all := ask[DeadLetterGroups](h, "/dead-letters/groups?status=open")
		require.Equal(t, 19, all.Grouped)
		require.False(t, all.More)
		var groups []string
		for _, g := range all.Groups {
			groups = append(groups, summed(g))
		}
		require.Equal(t, []string{"13 a exhausted HTTP 500, newest 5, 25s", "3 a exhausted a timeout, newest 3, 2s", "2 b refused HTTP 410, newest 2, 1s",
			"1 none unreadable no JSON, newest 1, 0s"}, groups)
		require.Equal(t, last, all.Groups[0].Newest[0].ID)
		require.Len(t, ask[DeadLetterGroups](h, "/dead-letters/groups?destinationId="+b).Groups, 1)
		require.Equal(t, 20, ask[DeadLetterGroups](h, "/dead-letters/groups?source=acme&kind=exhausted").Groups[0].Count, "of any status")
	})
}

func TestDeadLettersAreClosedByGroup(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{})
		const a, b = "0195aaaa-0000-7000-8000-00000000000a", "0195aaaa-0000-7000-8000-00000000000b"
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		for i, of := range [][]string{{a, "HTTP 410", "open"}, {a, "HTTP 410", "open"}, {a, "HTTP 410", "requeued"}, {a, "HTTP 500", "open"}, {b, "HTTP 410", "open"}, {a, "HTTP 410", "open"}} {
			created := at.Add(time.Duration(i) * time.Second)
			h.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, source, reason, attempts, status, created_at)
				VALUES ($1, 'refused', 'q', $1, $2, 'acme', $3, 1, $4, $5)`, id.Floor(created), of[0], of[1], of[2], created)
		}
		call := h.api()
		resolve := func(body string) string {
			code, answer := call(http.MethodPost, "/dead-letters/resolve", body)
			require.Equal(t, http.StatusOK, code, answer)
			text, err := json.Marshal(answer["data"])
			require.NoError(t, err)
			return string(text)
		}
		group := `"destinationId":"` + a + `","error":"HTTP 410"`
		require.JSONEq(t, `{"matched":3,"resolved":0,"skipped":0}`, resolve(`{`+group+`,"dryRun":true}`))
		require.Len(t, h.deadLetters(DeadLetterFilter{Status: "open"}), 5, "a dry run changes nothing")
		require.JSONEq(t, `{"matched":3,"resolved":2,"skipped":0}`, resolve(`{`+group+`,"limit":2,"reason":"booked by hand"}`))
		require.JSONEq(t, `{"matched":1,"resolved":1,"skipped":0}`, resolve(`{`+group+`,"requestedBy":"ada","reason":"booked by hand"}`))
		closed := h.deadLetters(DeadLetterFilter{Status: "resolved"})
		require.Len(t, closed, 3)
		require.Equal(t, []string{"ada", "booked by hand"}, []string{*closed[0].ResolvedBy, *closed[0].Resolution})
		require.Equal(t, "management-key", *closed[2].ResolvedBy)
		require.Equal(t, []string{"dead_letter.resolved"}, h.audit.actions(closed[0].ID))
		require.Len(t, h.deadLetters(DeadLetterFilter{Status: "open"}), 2, "another error and another destination")

		for body, field := range map[string]string{`{"reason":"booked by hand"}`: "all", `{` + group + `}`: "reason", `{"error":"","dryRun":true}`: "error",
			`{"error":"\u0000","dryRun":true}`: "error", `{"status":"resolved","reason":"booked by hand","source":"acme"}`: "status"} {
			code, answer := call(http.MethodPost, "/dead-letters/resolve", body)
			require.Equal(t, http.StatusBadRequest, code, body)
			require.Contains(t, fmt.Sprint(answer["error"]), "field:"+field, body)
		}
		code, answer := call(http.MethodPost, "/dead-letters/requeue", `{"error":"HTTP 500","dryRun":true}`)
		require.Equal(t, http.StatusOK, code)
		require.InDelta(t, 1, answer["data"].(map[string]any)["matched"], 0, "a requeue is by error too")
	})
}

func TestTheErrorsOfTheNewestAttemptsAreCounted(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{})
		require.Equal(t, AttemptErrors{Errors: []AttemptError{}}, ask[AttemptErrors](h, "/deliveries/errors"))
		a, b := h.destination(h.receiver.URL), h.destination(h.receiver.URL+"/other")
		at, last := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), ""
		add := func(n int, to string, kind, message any) {
			for range n {
				at = at.Add(time.Second)
				last = id.Floor(at)
				status := "failed"
				if kind == nil {
					status = "success"
				}
				h.exec(`INSERT INTO delivery_attempts (id, normalized_event_id, destination_id, job_id, attempt_no, status, error_kind, error_message, duration_ms, created_at)
					VALUES ($1, $1, $2, $1, 1, $3, $4, $5, 1, $6)`, last, to, status, kind, message, at)
			}
		}
		add(2, a, "timeout", "no answer in 5 s")
		add(4, a, nil, nil)
		add(3, a, "egress_refused:private", "not a public address")
		third := last
		add(5, b, "timeout", "no answer in 5 s")
		of := ask[AttemptErrors](h, "/deliveries/errors?destinationId="+a)
		require.Equal(t, []int{9, 5, 2}, []int{of.Attempts, of.Failed, len(of.Errors)})
		require.Equal(t, "egress_refused", *of.Errors[0].ErrorKind)
		require.Equal(t, "not a public address", *of.Errors[0].ErrorMessage)
		require.Equal(t, []any{3, third}, []any{of.Errors[0].Count, of.Errors[0].LastEventID})
		require.Equal(t, 2, of.Errors[1].Count)
		require.Equal(t, 7, ask[AttemptErrors](h, "/deliveries/errors").Errors[0].Count, "of all destinations")
		require.Equal(t, 5, ask[AttemptErrors](h, "/deliveries/errors?createdFrom="+at.Add(-4*time.Second).Format(time.RFC3339)).Attempts)
	})
}

// TestGroupsReadNoMoreThanTheirBounds groups more dead letters and attempts than are looked at.
func TestGroupsReadNoMoreThanTheirBounds(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.exec(manySQL)
	h.exec("ANALYZE delivery_attempts")
	h.exec("ANALYZE dead_letters")
	const common = "01950000-0000-7000-8000-000000000002"
	for _, query := range []string{"", "status=open", "source=acme", "destinationId=" + common, "status=open&source=acme", "kind=exhausted&status=open"} {
		q, err := httpapi.ParseQuery(query, groupsSpec)
		require.NoError(t, err)
		f, wrong := ParseDeadLetterFilter(q.Given)
		require.Empty(t, wrong)
		statement, args := deadLetterGrouping.Statement(f.conditions(t.Context()))
		read, plan := testkit.RowsRead(t, h.db, statement, args...)
		require.LessOrEqual(t, read, database.GroupedAtMost+100, "%s\n%s", query, plan)
		all := ask[DeadLetterGroups](h, "/dead-letters/groups?"+query)
		require.Equal(t, database.GroupedAtMost, all.Grouped)
		require.True(t, all.More)
	}
	f := &database.Filter{}
	f.Add("destination_id = ?", common)
	clause, args := f.Where()
	for query, where := range map[string]string{"?destinationId=" + common: clause, "": ""} {
		given := args
		if where == "" {
			given = nil
		}
		read, plan := testkit.RowsRead(t, h.db, fmt.Sprintf(selectErrorsSQL, where, lookedAtForErrors), given...)
		require.LessOrEqual(t, read, lookedAtForErrors+100, "%s\n%s", query, plan)
		of := ask[AttemptErrors](h, "/deliveries/errors"+query)
		require.Equal(t, []int{lookedAtForErrors, lookedAtForErrors / 2}, []int{of.Attempts, of.Failed})
	}
}

// duringRecord calls then with the transaction of the first entry that is recorded.
type duringRecord struct {
	Auditor
	then func(tx *database.Tx)
}

func (d *duringRecord) Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	if then := d.then; then != nil {
		d.then = nil
		then(tx)
	}
	return d.Auditor.Record(ctx, tx, entries)
}

// Closing many ended with 404 at one that retention or somebody else had removed meanwhile, and
// left the rest open.
func TestDeadLettersThatAreGoneMeanwhileAreSkipped(t *testing.T) {
	for action, want := range map[string]string{"resolve": `{"matched":5,"resolved":2,"skipped":3}`, "requeue": `{"matched":5,"requeued":2,"failed":0,"skipped":3}`} {
		t.Run(action, func(t *testing.T) {
			eachDeadHarness(t, func(h *harness, _ *fakeReplayer) {
				h.destination(h.receiver.URL)
				h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
				stop := h.run()
				list := []DeadLetter{h.failed(), h.failed(), h.failed(), h.failed()}
				stop()
				h.storeDeadLetters(t.Context(), []broker.Delivery{{Body: []byte("no JSON"), Ack: func() {}}})
				unreadable := h.deadLetters(DeadLetterFilter{Kind: deadUnreadable})[0]
				h.auditor = &duringRecord{h.auditor, func(tx *database.Tx) { // while the first one is acted on
					_, err := tx.Exec(t.Context(), "DELETE FROM dead_letters WHERE id IN ($1, $2)", list[1].ID, unreadable.ID)
					require.NoError(t, err)
					_, err = tx.Exec(t.Context(), "UPDATE dead_letters SET status = 'resolved', resolved_at = $2, resolved_by = 'ada', resolution = 'by hand' WHERE id = $1", list[2].ID, tx.Now)
					require.NoError(t, err)
				}}
				code, answer := h.api()(http.MethodPost, "/dead-letters/"+action, `{"all":true,"reason":"booked by hand"}`)
				require.Less(t, code, 300, answer)
				text, err := json.Marshal(answer["data"])
				require.NoError(t, err)
				require.JSONEq(t, want, string(text))
				require.Empty(t, h.audit.actions(list[2].ID))
				require.Equal(t, "ada", *h.deadLetters(DeadLetterFilter{EventID: *list[2].EventID})[0].ResolvedBy, "it stays as it was")
				require.Equal(t, []string{"dead_letter." + action + "d"}, h.audit.actions(list[3].ID), "the ones after it are not left")
			})
		})
	}
}
