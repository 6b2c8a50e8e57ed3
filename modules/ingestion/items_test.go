package ingestion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// batches makes a source whose bodies are arrays and whose id is in a header.
const batches = `{"source":"batches","provider":"generic","secrets":["a-token-of-batches"],"options":{"generic":{
	"scheme":"token","signature":{"header":"X-Token"},"event":{"id":"header:X-Batch","type":"$.type","items":true}}}}`

// Each item of a request is an event, whatever ids they share; the same request again makes
// none.
func TestItemsThatShareAnIDAreAllStored(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		g.manage(http.MethodPost, "/integrations", batches)
		g.addProvider("twilio", secret.New("k"))
		g.addProvider("hubspot", secret.New("k"))
		batch := func(body string) *http.Request {
			r := request("batches", body)
			r.Header.Set("X-Token", "a-token-of-batches")
			r.Header.Set("X-Batch", "one-id")
			return r
		}
		signed := func(name, body string) *http.Request {
			spec, _ := provider.Builtin().Spec(name)
			address := "http://example.com/api/v1/webhooks/" + name + "-source"
			req, err := spec.SampleRequest(provider.Sample{Body: body, Header: map[string]string{"I-Twilio-Idempotency-Token": "one-token"}},
				secret.New("k"), then, address, "x")
			require.NoError(t, err)
			return incoming(req)
		}
		objects := func(attempt int) string {
			item := `{"eventId":1,"subscriptionType":"contact.creation","occurredAt":1767603590123,"attemptNumber":%d,"objectId":%d}`
			return "[" + fmt.Sprintf(item, attempt, 7) + "," + fmt.Sprintf(item, attempt, 8) + "]"
		}
		for _, c := range []struct {
			name          string
			first, repeat *http.Request
			events        int
		}{
			{"an id in a header", batch(`[{"type":"a"},{"type":"b"},{"type":"c"}]`), batch(`[{"type":"a"},{"type":"b"},{"type":"c"}]`), 3},
			{"a token of Twilio's", signed("twilio", `[{"type":"a"},{"type":"a"}]`), signed("twilio", `[{"type":"a"},{"type":"a"}]`), 2},
			{"an eventId of HubSpot's, whose retry counts", signed("hubspot", objects(0)), signed("hubspot", objects(1)), 2},
		} {
			before := g.count("normalized_events")
			ids := func(r *http.Request) (int, []string) {
				got := g.plain(r)
				if id := got.Header().Get("X-Event-Id"); id != "" { // Twilio has an answer of its own
					return got.Code, strings.Split(id, ",")
				}
				var a answer
				require.NoError(t, json.Unmarshal(got.Body.Bytes(), &a))
				return got.Code, a.receipt(t).EventIDs
			}
			_, first := ids(c.first)
			require.Equal(t, before+c.events, g.count("normalized_events"), c.name)
			_, again := ids(c.repeat)
			require.Equal(t, before+c.events, g.count("normalized_events"), "%s: the repeat is known", c.name)
			require.Equal(t, first, again, c.name)
			for _, id := range first {
				require.Equal(t, http.StatusOK, g.get("/events/"+url.PathEscape(id)).Status, "%s: each id names a stored event", c.name)
			}
		}
		require.Equal(t, 7, g.stored())
	})
}

// A longer batch under the same id holds new events, and only these are stored.
func TestALongerBatchUnderTheSameIDAddsItsNewItems(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.manage(http.MethodPost, "/integrations", batches)
		send := func(body string) receipt {
			r := request("batches", body)
			r.Header.Set("X-Token", "a-token-of-batches")
			r.Header.Set("X-Batch", "one-id")
			return g.do(r).receipt(t)
		}
		first := send(`[{"type":"a"},{"type":"b"}]`)
		require.Len(t, unique(first.EventIDs), 2)
		second := send(`[{"type":"a"},{"type":"b"},{"type":"c"}]`)
		require.False(t, second.Duplicate)
		require.Equal(t, first.EventIDs, second.EventIDs[:2])
		require.Len(t, unique(second.EventIDs), 3)
		require.Equal(t, 3, g.count("normalized_events"))
	})
}

// A verified webhook without its id is an event nevertheless: its body identifies it.
func TestAVerifiedWebhookWithoutItsIDIsIdentifiedByItsBody(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		var named, now int
		var withID []string
		for _, s := range provider.Builtin().Specs() {
			if !s.Signable() || s.Name == "acme" || s.Name == "globex" || s.Name == "standard-webhooks" || len(s.Samples) == 0 {
				continue // acme and globex require it; Standard Webhooks signs it
			}
			key := sampleKey(s.Name)
			if s.Name == "gitlab" {
				key = secret.New("a-secret-token") // a signing token signs it too
			}
			held, err := s.SecretFor(key)
			require.NoError(t, err)
			g.addProvider(s.Name, held)
			send := func(amount string) (int, string) {
				sample := s.Samples[0]
				sample.Header = map[string]string{}
				for name, value := range s.Samples[0].Header {
					if !strings.Contains(value, "$ID") {
						sample.Header[name] = value
					}
				}
				id := regexp.MustCompile(`"(event_|update_|log_)?(id|eventId|sg_event_id|webhookEventId|uuid|id_str|resourceId|triggerUuid)":("[^"]*"|[$\w]+)`)
				sample.Body = strings.ReplaceAll(id.ReplaceAllString(sample.Body, `"x":`+amount), "<Id>$ID</Id>", "<X>"+amount+"</X>")
				req, err := s.SampleRequest(sample, key, then, "http://example.com/api/v1/webhooks/"+s.Name+"-source", "sample")
				require.NoError(t, err)
				got := g.plain(incoming(req))
				require.Less(t, got.Code, 300, "%s: %s %s", s.Name, got.Body, req.Body)
				return got.Code, got.Body.String()
			}
			before := g.count("normalized_events")
			send("1")
			stored := g.count("normalized_events") - before
			require.Positive(t, stored, s.Name)
			send("1")
			if s.Deduplication.By == provider.ByNone {
				stored *= 2
			}
			require.Equal(t, before+stored, g.count("normalized_events"), "%s: the same body is known, unless each is an event", s.Name)
			require.NoError(t, db.Get(t.Context(), &now, `SELECT count(*) FROM normalized_events WHERE external_event_id IS NOT NULL`))
			if now > named {
				withID, named = append(withID, s.Name), now
			}
		}
		require.Equal(t, []string{"adyen", "bigcommerce", "quickbooks", "twitch"}, withID, "two are made of what every event has, the others are signed; none of the rest had one")
		missing := acmeRequest(`{"eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":{}}`)
		require.Equal(t, http.StatusBadRequest, g.do(missing).Status, "acme requires it")
	})
}

func unique(texts []string) map[string]bool {
	set := map[string]bool{}
	for _, text := range texts {
		set[text] = true
	}
	return set
}

// GitHub sends up to 25 MB and never again, so that its bodies have a limit of their own.
func TestAProvidersBodiesHaveALimitOfTheirOwn(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.addProvider("github", secret.New("k"))
	g.addProvider("linear", secret.New("k"))
	send := func(name string, size int) int {
		spec, _ := provider.Builtin().Spec(name)
		body := `{"action":"opened","type":"Issue","webhookTimestamp":$MILLIS,"padding":"` + strings.Repeat("x", size) + `"}`
		sample := provider.Sample{Body: body, Header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "d1"}}
		req, err := spec.SampleRequest(sample, secret.New("k"), clock.System(), "http://example.com/api/v1/webhooks/"+name+"-source", "x")
		require.NoError(t, err)
		return g.plain(incoming(req)).Code
	}
	require.Equal(t, http.StatusAccepted, send("github", 70<<10), "more than the 64 KiB configured here")
	require.Equal(t, http.StatusRequestEntityTooLarge, send("github", 26<<20))
	require.Equal(t, http.StatusRequestEntityTooLarge, send("linear", 70<<10))
	own := int64(1 << 10)
	g.sources.change("github-source", func(s *settings) { s.MaxBodyBytes = &own })
	require.Equal(t, http.StatusRequestEntityTooLarge, send("github", 2<<10), "the integration's own takes precedence")
}

// Microsoft Graph checks an address by a POST without a body, and Event Grid by a list.
func TestMicrosoftsChecksOfAnAddress(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		g.addProvider("microsoft-graph", secret.New("a-client-state"))
		g.addProvider("azure-event-grid", secret.New("a-token-of-the-tests"))
		post := func(source, query, kind, body string, header http.Header) (int, string) {
			req := provider.Request{Method: http.MethodPost, URL: "http://example.com/api/v1/webhooks/" + source + "-source" + query, Header: header, Body: []byte(body)}
			req.Header.Set("Content-Type", kind)
			got := g.plain(incoming(req))
			return got.Code, got.Body.String()
		}
		code, body := post("microsoft-graph", "?validationToken=abc%20def", "text/plain; charset=utf-8", "", http.Header{})
		require.Equal(t, http.StatusOK, code, body)
		require.Equal(t, "abc def", body)
		const check = `[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6"}}]`
		code, body = post("azure-event-grid", "?token=a-token-of-the-tests", "application/json", check, http.Header{"Aeg-Event-Type": {"SubscriptionValidation"}})
		require.Equal(t, http.StatusOK, code, body)
		require.JSONEq(t, `{"validationResponse":"512d38b6"}`, body)
		code, _ = post("azure-event-grid", "?token=another-token", "application/json", check, http.Header{"Aeg-Event-Type": {"SubscriptionValidation"}})
		require.Equal(t, http.StatusUnauthorized, code)
		require.Zero(t, g.count("normalized_events"))
	})
}
