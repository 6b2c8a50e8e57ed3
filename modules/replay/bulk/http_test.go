package bulk_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

var quiet = slog.New(slog.DiscardHandler)

// pausing pauses a replay while its page is read.
type pausing struct {
	*world
	replayID string
	done     bool
}

func (p *pausing) ReplayTargets(ctx context.Context, want contract.ReplayDeliveries, eventIDs []string) (map[string][]string, error) {
	if !p.done {
		status, _ := p.call(http.MethodPost, "/replays/"+p.replayID+"/pause", "")
		p.done = status == http.StatusOK
	}
	return p.world.ReplayTargets(ctx, want, eventIDs)
}

func TestADryRunSaysWhatIsThenDone(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 64, 3)
		status, answer := w.call(http.MethodPost, "/replays", `{"filter":{"source":"acme"},"dryRun":true}`)
		require.Equal(t, http.StatusOK, status, answer)
		dry := answer["data"].(map[string]any)
		n := float64(len(w.want()))
		require.Equal(t, true, dry["complete"])
		require.Equal(t, 48.0, dry["events"], "a quarter went nowhere")
		require.Equal(t, n, dry["counts"].(map[string]any)["matched"])
		require.Equal(t, []any{map[string]any{"source": "acme", "events": 48.0, "deliveries": n}}, dry["bySource"])
		require.Len(t, dry["byDestination"], len(w.want()))
		require.Len(t, dry["first"], 20)
		require.Equal(t, w.events[1].EventID, dry["first"].([]any)[0].(map[string]any)["eventId"], "the first event went nowhere")
		require.Empty(t, w.got())
		require.Equal(t, "0", w.text(`SELECT CAST(count(*) AS text) FROM replays`), "it leaves nothing")

		replayID := w.order(`{"filter":{"source":"acme"},"rate":10000,"reason":"because"}`)
		require.NoError(t, w.rounds(w.process(fast), w.scanned(replayID)))
		require.Equal(t, w.want(), w.got())
		require.Equal(t, n, w.show(replayID)["counts"].(map[string]any)["matched"])
		status, answer = w.call(http.MethodGet, "/replays/"+replayID+"/events?status=queued&pageSize=100", "")
		require.Equal(t, http.StatusOK, status)
		require.Len(t, answer["data"], min(len(w.want()), 100))
	})
}

func TestInvalidFieldsAreReportedByName(t *testing.T) {
	w := newWorld(t, testkit.Open(t, testkit.SQLite(t)), 4, 1)
	known := w.targets[w.events[1].EventID][0]
	for _, test := range []struct{ name, body, fields string }{
		{"everything needs to be said", `{"reason":"because"}`, "filter"},
		{"an empty filter is everything", `{"filter":{},"reason":"because"}`, "filter"},
		{"a filter that leaves nothing out", `{"filter":{"onlyFailed":false},"reason":"because"}`, "filter"},
		{"a filter and everything", `{"filter":{"onlyFailed":true},"all":true,"reason":"because"}`, "all"},
		{"everything", `{"all":true,"reason":"because"}`, ""},
		{"a filter", `{"filter":{"onlyNeverDelivered":true},"reason":"because"}`, ""},
		{"without a reason", `{"all":true}`, "reason"},
		{"a short reason", `{"all":true,"reason":"why"}`, "reason"},
		{"a short name", `{"all":true,"reason":"because","requestedBy":"a"}`, "requestedBy"},
		{"no rate", `{"all":true,"reason":"because","rate":0}`, "rate"},
		{"the lowest rate", `{"all":true,"reason":"because","rate":1}`, ""},
		{"the highest rate", `{"all":true,"reason":"because","rate":10000}`, ""},
		{"one more", `{"all":true,"reason":"because","rate":10001}`, "rate"},
		{"an unknown source", `{"filter":{"source":"globex"},"reason":"because"}`, "filter.source"},
		{"an unknown status", `{"filter":{"status":"done"},"reason":"because"}`, "filter.status"},
		{"an empty subject", `{"filter":{"subject":""},"reason":"because"}`, "filter.subject"},
		{"a window that ends before it begins", `{"filter":{"receivedFrom":"2026-01-02T00:00:00Z","receivedTo":"2026-01-01T00:00:00Z"},"reason":"because"}`, "filter.receivedTo"},
		{"a moment is a window", `{"filter":{"deliveredFrom":"2026-01-02T00:00:00Z","deliveredTo":"2026-01-02T00:00:00Z"},"reason":"because"}`, ""},
		{"a destination that is no id", `{"filter":{"destination":"7"},"destination":"8","reason":"because"}`, "filter.destination destination"},
		{"an unknown destination", `{"filter":{"destination":"` + id.New() + `"},"reason":"because"}`, "filter.destination"},
		{"an unknown place to send to", `{"all":true,"destination":"` + id.New() + `","reason":"because"}`, "destination"},
		{"a known destination", `{"filter":{"destination":"` + strings.ToUpper(known) + `"},"destination":"` + known + `","reason":"because"}`, ""},
		{"a URL and a destination", `{"all":true,"destination":"` + known + `","url":"https://once.example","signingSecret":"` + signing + `","reason":"because"}`, "url"},
		{"a URL without a secret", `{"all":true,"url":"https://once.example","reason":"because"}`, "signingSecret"},
		{"a URL that egress refuses", `{"all":true,"url":"http://10.0.0.1","signingSecret":"` + signing + `","reason":"because"}`, "url"},
		{"an unknown payload", `{"all":true,"payload":"new","reason":"because"}`, "payload"},
		{"a name from elsewhere", `{"filter":{"state":"failed"},"reason":"because"}`, "filter.state"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, answer := w.call(http.MethodPost, "/replays", test.body)
			if test.fields == "" {
				require.Equal(t, http.StatusAccepted, status, answer)
				return
			}
			require.Equal(t, http.StatusBadRequest, status, answer)
			var fields []string
			for _, d := range answer["error"].(map[string]any)["details"].([]any) {
				fields = append(fields, fmt.Sprint(d.(map[string]any)["field"]))
			}
			require.Equal(t, test.fields, strings.Join(fields, " "))
		})
	}
}

func TestReplaysAreListed(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 3, 1)
		first, second := w.order(all), w.order(`{"filter":{"source":"acme"},"rate":7,"reason":"because"}`)
		w.call(http.MethodPost, "/replays/"+second+"/cancel", "")
		for query, want := range map[string][]string{
			"": {second, first}, "?status=queued": {first}, "?status=cancelled": {second}, "?status=completed": nil,
			"?createdTo=2020-01-01T00:00:00Z": nil, "?createdFrom=2020-01-01T00:00:00Z": {second, first},
		} {
			status, answer := w.call(http.MethodGet, "/replays"+query, "")
			require.Equal(t, http.StatusOK, status, answer)
			var ids []string
			for _, item := range answer["data"].([]any) {
				ids = append(ids, item.(map[string]any)["id"].(string))
			}
			require.Equal(t, want, ids, query)
		}
		status, _ := w.call(http.MethodGet, "/replays/"+id.New(), "")
		require.Equal(t, http.StatusNotFound, status)
		status, _ = w.call(http.MethodPost, "/replays/"+id.New()+"/cancel", "")
		require.Equal(t, http.StatusNotFound, status)
	})
}
