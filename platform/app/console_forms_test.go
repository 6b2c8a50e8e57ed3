package app

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// signInByKey signs the browser in with a management key.
func (s *signingIn) signInByKey() {
	s.t.Helper()
	res := s.request(http.MethodPost, "/console/sign-in", "same-origin", url.Values{"key": {config.DemoKey}})
	require.Equal(s.t, http.StatusSeeOther, res.StatusCode)
}

// page sends a form, or reads a page without one, and returns what it says.
func (s *signingIn) page(path string, form url.Values) (int, string) {
	s.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	res := s.request(method, path, "same-origin", form)
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, html.UnescapeString(string(text))
}

// api calls the API with the management key.
func (s *signingIn) api(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:3000/api/v1"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Internal-Api-Key", config.DemoKey)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestAMappingIsTriedAndStoredByForms edits the mapping of a source of one's own as a browser
// without scripts does.
func TestAMappingIsTriedAndStoredByForms(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		s := newSigningIn(t, db)
		s.signInByKey()
		code, made := s.api(http.MethodPost, "/integrations", `{"source":"shop","provider":"generic","secrets":["a-token-of-shop"],
			"options":{"generic":{"scheme":"token","signature":{"header":"X-Token","prefix":"T "},"event":{"id":"$.id","type":"$.type","subject":"$.old"}}}}`)
		require.Equal(t, http.StatusCreated, code, made)
		integration := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(made)[1]
		mapping := "/console/integrations/" + integration + "/mapping"
		_, page := s.page(mapping, nil)
		require.Contains(t, page, `value="$.old"`)
		require.Contains(t, page, `value="try" disabled`, "there is no event yet")

		code, receipt := s.api(http.MethodPost, "/webhooks/shop", `{"id":"e1","type":"order","old":"Ada","new":"Grace<b>","number":12345678901234567891.10}`, "X-Token", "T a-token-of-shop")
		require.Equal(t, http.StatusAccepted, code, receipt)
		event := regexp.MustCompile(`"eventId":"([^"]+)"`).FindStringSubmatch(receipt)[1]
		form := url.Values{"field-id": {"$.id"}, "field-type": {"$.type"}, "field-subject": {"$.new"}, "event": {event}, "do": {"try"}}
		code, page = s.page(mapping, form)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, page, `<td>Ada</td><td><strong>Grace<b></strong></td>`)
		require.Contains(t, page, `value="$.new"`, "what was typed stays")
		require.Contains(t, page, "12345678901234567891.10")
		_, before := s.api(http.MethodGet, "/integrations/"+integration, "")
		require.Contains(t, before, `"subject":"$.old"`, "trying stores nothing")

		form.Set("field-type", "$.kind")
		_, page = s.page(mapping, form)
		require.Contains(t, page, "No event: the mapping of now refuses the webhook: There is no type at")
		form.Set("field-type", "$.[")
		code, page = s.page(mapping, form)
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, page, "options.generic.event.type")

		form.Set("field-type", "$.type")
		form.Set("field-id", `["$.none", "$.id"]`)
		_, page = s.page(mapping, form)
		require.Contains(t, page, `value="["$.none", "$.id"]"`)
		require.Contains(t, page, `<th scope="row">Id</th><td>e1</td><td><span class="dim">the same</span>`, "of several places the first that is there")
		form.Set("do", "save")
		code, _ = s.page(mapping, form)
		require.Equal(t, http.StatusSeeOther, code)
		_, after := s.api(http.MethodGet, "/integrations/"+integration, "")
		require.Contains(t, after, `"event":{"id":{"firstOf":["$.none","$.id"]},"type":"$.type","subject":"$.new"}`)
		require.Contains(t, after, `"prefix":"T "`, "the rest of the definition stays")
		_, trail := s.api(http.MethodGet, "/audit-entries?action=integration.updated", "")
		require.Contains(t, trail, `"changed":["options"]`)

		_, page = s.page(mapping, nil)
		require.Contains(t, page, `value="{"firstOf":["$.none","$.id"]}"`, "what is stored can be edited again")
		_, page = s.page("/console/integrations/"+integration, nil)
		require.Contains(t, page, mapping)
		s.api(http.MethodPost, "/integrations", `{"source":"acme","provider":"acme","secrets":["a-secret-of-acme"]}`)
		_, list := s.api(http.MethodGet, "/integrations?source=acme", "")
		acme := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(list)[1]
		_, page = s.page("/console/integrations/"+acme+"/mapping", nil)
		require.Contains(t, page, "The provider acme says where")
		_, page = s.page("/console/integrations/"+acme, nil)
		require.NotContains(t, page, "/mapping")
	})
}

// TestAReplayIsOfWhatWentToADestination counts by the form what a replay of one destination's
// events would send.
func TestAReplayIsOfWhatWentToADestination(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db)
		records := map[string]map[string]string{"acme": g.records("acme"), "globex": g.records("globex")}
		for _, source := range []string{"acme", "globex"} {
			destination := records[source]["destinations"]
			g.exec(`INSERT INTO processing_jobs (id, normalized_event_id, destination_id, triggered_by, status, attempt_no, budget_start, parked, completed_at, created_at)
				VALUES ($1, $2, $3, 'webhook', 'failed', 1, 0, false, $4, $4)`, records[source]["job"], records[source]["events"], destination, g.db.Now())
			code, dry := g.call("POST", "/api/v1/replays", "admin", `{"filter":{"destination":"`+destination+`"},"dryRun":true}`)
			require.Equal(t, http.StatusOK, code, "%s", dry)
			require.Contains(t, string(dry), `"events":1,`)
			require.Contains(t, string(dry), `"bySource":[{"source":"`+source+`"`)
			code, _ = g.call("POST", "/api/v1/replays", "viewer of acme", `{"filter":{"destination":"`+destination+`"},"dryRun":true}`)
			require.Equal(t, http.StatusForbidden, code)
		}
		code, _ := g.call("POST", "/api/v1/replays", "operator of acme", `{"filter":{"destination":"`+records["globex"]["destinations"]+`"},"dryRun":true}`)
		require.Equal(t, http.StatusBadRequest, code, "its source is not seen")

		s := &signingIn{t: t, db: db, http: g.manager.Handler(), cookies: map[string]*http.Cookie{}}
		s.signInByKey()
		form := "/console/replays/new?step=check&rate=100&payload=renormalized&went-to=" + records["globex"]["destinations"]
		_, page := s.page(form, nil)
		require.Contains(t, page, "It would send 1 delivery of 1 event")
		require.Contains(t, page, "of 1 it makes nothing", "what was stored is no event of globex")
		order := url.Values{"rate": {"100"}, "went-to": {records["globex"]["destinations"]}, "payload": {"renormalized"}, "reason": {"the receiver lost them"}}
		code, _ = s.page("/console/replays/new", order)
		require.Equal(t, http.StatusSeeOther, code)
		_, list := g.call("GET", "/api/v1/replays", "admin", "")
		require.Contains(t, string(list), `"destination":"`+records["globex"]["destinations"]+`"`)
		require.Contains(t, string(list), `"payload":"renormalized"`)
		_, page = s.page("/console/replays/"+regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(string(list))[1], nil)
		require.Contains(t, page, "what the mapping of now makes")
	})
}

// TestAKeyOfOneSourceSeesItsPartOfTheTrail opens the audit trail with a key of one source.
func TestAKeyOfOneSourceSeesItsPartOfTheTrail(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db)
		for _, source := range []string{"acme", "globex"} {
			_, list := g.call("GET", "/api/v1/integrations?source="+source, "admin", "")
			code, _ := g.call("PATCH", "/api/v1/integrations/"+regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(string(list))[1], "admin", `{"name":"The new name of `+source+`"}`)
			require.Equal(t, http.StatusOK, code)
		}
		for _, key := range []string{"viewer of acme", "admin of acme"} {
			s := &signingIn{t: t, db: db, http: g.manager.Handler(), cookies: map[string]*http.Cookie{}}
			res := s.request(http.MethodPost, "/console/sign-in", "same-origin", url.Values{"key": {g.keys[key]}})
			require.Equal(t, http.StatusSeeOther, res.StatusCode)
			code, page := s.page("/console/audit", nil)
			require.Equal(t, http.StatusOK, code)
			require.Contains(t, page, "integration.updated")
			require.Contains(t, page, `href="/console/audit"`)
			require.NotContains(t, page, "globex")
			require.NotContains(t, page, `href="/console/alerts"`)
		}
	})
}

// TestAGroupOfDeadLettersIsClosedByForms counts a group, and closes it for a reason.
func TestAGroupOfDeadLettersIsClosedByForms(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := newGuarded(t, db)
		acme := g.records("acme")
		g.records("globex")
		s := &signingIn{t: t, db: db, http: g.manager.Handler(), cookies: map[string]*http.Cookie{}}
		s.signInByKey()
		group := url.Values{"destination": {acme["destinations"]}, "kind": {"exhausted"}, "error": {"x"}}
		code, page := s.page("/console/dead-letters/resolve", group)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, page, "Close 1 dead letter of acme/1")
		require.Contains(t, page, "Those alone that failed with: <strong>x</strong>")
		group.Set("reason", "no")
		code, page = s.page("/console/dead-letters/resolve", group)
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, page, `value="no"`, "what was typed stays")
		group.Set("reason", "booked by hand")
		code, _ = s.page("/console/dead-letters/resolve", group)
		require.Equal(t, http.StatusSeeOther, code)
		_, page = s.page("/console/dead-letters", nil)
		require.Contains(t, page, "1 dead letter is closed, with your reason.")
		require.NotContains(t, page, "acme/1", "that of globex is left")
		require.Contains(t, page, "globex/1")
		_, page = s.page("/console/dead-letters?status=resolved", nil)
		require.Contains(t, page, "“booked by hand”")
		_, page = s.page("/console/dead-letters/resolve", url.Values{"destination": {acme["destinations"]}})
		require.Contains(t, page, "Close 0 dead letters")
		code, _ = s.page("/console/dead-letters/resolve", url.Values{"destination": {"x"}})
		require.Equal(t, http.StatusBadRequest, code)
		code, _ = s.page("/console/dead-letters/resolve", url.Values{})
		require.Equal(t, http.StatusBadRequest, code, "a form without a group closes nothing")
	})
}
