package ingestion

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// policed makes a source with a policy and returns what sends a body to it.
func (g *gateway) policed(source, policy string) func(body string, headers ...string) receipt {
	g.manage(http.MethodPost, "/integrations", `{"source":"`+source+`","provider":"generic","secrets":["a-token-of-policies"],"options":{
		"deduplication":`+policy+`,"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":{"id":"$.id","type":"text:changed"}}}}`)
	return func(body string, headers ...string) receipt {
		r := request(source, body)
		r.Header.Set("X-Token", "a-token-of-policies")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		a := g.do(r)
		require.Less(g.t, a.Status, 300, "%+v", a.Error)
		return a.receipt(g.t)
	}
}

// Dropbox and Mollie send the same body for each change: within the window it is the
// provider's retry, after it another notification.
func TestTheSameBodyIsTheSameEventForAsLongAsTheWindow(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		now := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = now.now })
		send := g.policed("own", `{"by":"body","windowSeconds":300}`)
		const same = `{"list_folder":{"accounts":["dbid:X"]}}`
		now.pass(299 * time.Second) // a window's number changes meanwhile
		first := send(same)
		stored := 1
		for _, c := range []struct {
			after     time.Duration
			duplicate bool
		}{{time.Second, true}, {298 * time.Second, true}, {time.Second, false}, {200 * time.Second, true}, {99 * time.Second, true},
			{time.Second, false}, {10 * time.Minute, false}} {
			now.pass(c.after)
			got := send(same)
			require.Equal(t, c.duplicate, got.Duplicate, c.after)
			if !c.duplicate {
				stored++
				require.NotEqual(t, first.EventID, got.EventID)
				first = got
			}
			require.Equal(t, first.EventID, got.EventID)
		}
		require.False(t, send(`{"list_folder":{"accounts":["dbid:Y"]}}`).Duplicate)
		require.Equal(t, stored+1, g.stored())
	})
}

func TestAPolicySaysWhatIdentifiesAnEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for i, c := range []struct {
			policy, sent, again string
			headers             []string // of the second
			duplicate           bool
		}{
			{`{"by":"id"}`, `{"id":1,"n":1}`, `{"id":1,"n":2}`, nil, true},
			{`{"by":"id"}`, `{"n":1}`, `{"n":1}`, nil, true},
			{`{"by":"none"}`, `{"id":1}`, `{"id":1}`, nil, false},
			{`{"by":"body","windowSeconds":60}`, `{"id":1,"n":1}`, `{"id":1,"n":2}`, nil, false},
			{`{"by":"places","places":["$.id","$.n"]}`, `{"id":1,"n":1}`, `{"id":1,"n":2}`, nil, false},
			{`{"by":"places","places":["$.id","$.n"]}`, `{"id":1,"n":1}`, `{"id":1,"n":1,"attempt":2}`, nil, true},
			{`{"by":"places","places":["$.a","$.b"]}`, `{"a":"1\",\"","b":"2"}`, `{"a":"1","b":"\",2"}`, nil, false},
			{`{"by":"places","places":["$.a","$.b"]}`, `{"a":"1"}`, `{"b":"1"}`, nil, false},
			{`{"by":"places","places":["$.none"]}`, `{"id":1,"n":1}`, `{"id":1,"n":2}`, nil, true},
			{`{"by":"places","places":["header:X-Try","$.id"]}`, `{"id":1}`, `{"id":1}`, []string{"X-Try", "2"}, false},
		} {
			send := g.policed(fmt.Sprintf("own-%d", i), c.policy)
			first := send(c.sent)
			require.False(t, first.Duplicate)
			require.Equal(t, c.duplicate, send(c.again, c.headers...).Duplicate, "%d %s", i, c.policy)
		}
		g.stored()
	})
}

// Two objects of HubSpot's that share an eventId may come in different requests.
func TestHubSpotsObjectsAreDifferentEventsAcrossRequests(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		spec, _ := provider.Builtin().Spec("hubspot")
		g.addProvider("hubspot", secret.New("k"))
		for _, c := range []struct {
			object    string
			duplicate bool
		}{{"7", false}, {"8", false}, {"7", true}} {
			body := strings.Replace(`[{"eventId":1,"subscriptionType":"contact.creation","occurredAt":1767603590123,"objectId":N}]`, "N", c.object, 1)
			req, err := spec.SampleRequest(provider.Sample{Body: body}, secret.New("k"), then, "http://example.com/api/v1/webhooks/hubspot-source", "x")
			require.NoError(t, err)
			require.Equal(t, c.duplicate, g.do(incoming(req)).receipt(t).Duplicate, c.object)
		}
		require.Equal(t, 2, g.stored())
	})
}

// What identifies a CloudEvent is its source and its id.
func TestCloudEventsOfTwoSourcesAreDifferent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		spec, _ := provider.Builtin().Spec("twilio")
		g.addProvider("twilio", secret.New("k"))
		for i, source := range []string{"/v1/Messages/SM1", "/v1/Messages/SM2", "/v1/Messages/SM1"} {
			body := `[{"specversion":"1.0","type":"com.twilio.messaging.message.sent","source":"` + source + `","id":"EZ1","data":{"try":` + fmt.Sprint(i) + `}}]`
			req, err := spec.SampleRequest(provider.Sample{Body: body}, secret.New("k"), then, "http://example.com/api/v1/webhooks/twilio-source", "x")
			require.NoError(t, err)
			require.Less(t, g.plain(incoming(req)).Code, 300)
		}
		require.Equal(t, 2, g.stored())
	})
}
