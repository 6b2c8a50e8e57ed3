package alerts

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func (f *fixture) condition(name string) conditionView {
	f.t.Helper()
	var list []conditionView
	require.Equal(f.t, http.StatusOK, f.request(http.MethodGet, "/alerts/conditions", "", &list))
	require.Len(f.t, list, len(conditions))
	for _, v := range list {
		if v.Condition == name {
			return v
		}
	}
	require.Fail(f.t, "no condition "+name)
	return conditionView{}
}

func TestAThresholdIsChangedByTheAPI(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		require.InDelta(t, 2, *f.condition(DeadLetters).Threshold, 0)
		require.Nil(t, f.condition(Books).Threshold)
		var changed conditionView
		require.Equal(t, http.StatusOK, f.request(http.MethodPut, "/alerts/conditions/dead_letters", `{"threshold":10,"reason":"we expect some"}`, &changed))
		require.InDelta(t, 10, *changed.Threshold, 0)
		require.InDelta(t, 2, *changed.Configured, 0)
		require.Equal(t, changed, f.condition(DeadLetters))
		var recent []conditionView
		require.Equal(t, http.StatusOK, f.request(http.MethodGet, "/alerts/conditions?changedFrom="+db.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "", &recent))
		require.Len(t, recent, 1)

		f.evaluate(deadLetters(9))
		require.Empty(t, f.alerts(""))
		f.evaluate(deadLetters(10))
		require.Len(t, f.alerts("?state=open"), 1)

		require.Equal(t, http.StatusOK, f.request(http.MethodPut, "/alerts/conditions/dead_letters", `{"enabled":false,"reason":"nobody looks"}`, &changed))
		require.False(t, changed.Enabled)
		require.InDelta(t, 2, *changed.Threshold, 0, "PUT replaces all of it")
		f.evaluate(deadLetters(99))
		f.evaluate(deadLetters(99))
		require.Empty(t, f.alerts("?state=open"), "it is resolved")

		require.Equal(t, http.StatusNoContent, f.request(http.MethodDelete, "/alerts/conditions/dead_letters", "", nil))
		require.Equal(t, http.StatusNotFound, f.request(http.MethodDelete, "/alerts/conditions/dead_letters", "", nil))
		f.evaluate(deadLetters(2))
		require.Len(t, f.alerts("?state=open"), 1)
		var actions []string
		for _, e := range f.audited {
			actions = append(actions, e.Action+" "+string(e.Details))
		}
		require.Equal(t, []string{`alert.condition_changed {"condition":"dead_letters","enabled":true,"reason":"we expect some","threshold":10}`,
			`alert.condition_changed {"condition":"dead_letters","enabled":false,"reason":"nobody looks","threshold":null}`,
			`alert.condition_reset {"condition":"dead_letters"}`}, actions)
	})
}

func TestAWrongThresholdIsRefused(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, c := range []struct {
		sentence, condition, body string
		status                    int
	}{
		{"no such condition", "everything", `{"threshold":1,"reason":"x y"}`, http.StatusNotFound},
		{"a condition without a threshold", "books", `{"threshold":1,"reason":"x y"}`, http.StatusBadRequest},
		{"which may be turned off", "books", `{"enabled":false,"reason":"x y"}`, http.StatusOK},
		{"part of a dead letter", "dead_letters", `{"threshold":1.5,"reason":"x y"}`, http.StatusBadRequest},
		{"less than the least", "jobs_overdue", `{"threshold":0.9,"reason":"x y"}`, http.StatusBadRequest},
		{"the least", "jobs_overdue", `{"threshold":1,"reason":"x y"}`, http.StatusOK},
		{"the most", "webhooks_refused", `{"threshold":100,"reason":"x y"}`, http.StatusOK},
		{"more than the most", "webhooks_refused", `{"threshold":100.5,"reason":"x y"}`, http.StatusBadRequest},
		{"no reason", "jobs_overdue", `{"threshold":1}`, http.StatusBadRequest},
		{"a short reason", "jobs_overdue", `{"threshold":1,"reason":" x "}`, http.StatusBadRequest},
		{"a text", "jobs_overdue", `{"threshold":"1","reason":"x y"}`, http.StatusBadRequest},
		{"an unknown field", "jobs_overdue", `{"thresholds":1,"reason":"x y"}`, http.StatusBadRequest},
	} {
		require.Equal(t, c.status, f.request(http.MethodPut, "/alerts/conditions/"+c.condition, c.body, nil), c.sentence)
	}
}

// Every host tells of a destination's client certificate, and one alert is opened.
func TestADestinationsClientCertificateIsWatched(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		f.clients = map[string]time.Time{"an-id": db.Now().Add(time.Minute), "another": db.Now().Add(2 * time.Hour)}
		for _, host := range []string{"work-1", "work-2"} {
			cfg := f.cfg
			cfg.Host = host
			require.NoError(t, New(cfg, f.d).tellCertificates(t.Context()))
		}
		f.evaluate(func(g *contract.Gauges) {
			g.Destinations = []contract.DestinationGauges{{ID: "an-id", Name: "acme/1"}}
		})
		open := f.alerts("?state=open")
		require.Len(t, open, 1)
		require.Equal(t, "acme/1", open[0].Subject)
		require.Contains(t, open[0].Summary, "client certificate of destination acme/1 expires in")
	})
}

func TestACertificateOfAnotherProcessIsWatched(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		owner := New(f.cfg, f.d)
		f.certs = map[string]time.Time{"public": db.Now().Add(time.Minute)}
		require.NoError(t, owner.tellCertificates(t.Context()))
		f.certs = nil
		f.evaluate(deadLetters(0))
		open := f.alerts("?state=open")
		require.Len(t, open, 1)
		require.Equal(t, "public web-1", open[0].Subject)

		f.certs = map[string]time.Time{"public": db.Now().Add(2 * time.Hour)}
		require.NoError(t, owner.tellCertificates(t.Context()), "it was renewed, and is told of at once")
		f.evaluate(deadLetters(0))
		f.evaluate(deadLetters(0))
		require.Empty(t, f.alerts("?state=open"))
	})
}
