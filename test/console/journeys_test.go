package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// TestJourneys does what operators do, with the browser alone.
func TestJourneys(t *testing.T) {
	g := start(t)
	ids := lively(g)
	b := open(t, g)
	b.look(1440, 900, "light")
	j := &journeys{browser: b, ids: ids}
	for _, each := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"the printed link signs in once", j.signInByLink},
		{"the overview leads to what needs a hand", j.overview},
		{"events are filtered, and the address holds the filter", j.filter},
		{"the search box finds an event by any of its ids", j.search},
		{"what arrives is announced, and followed with live tail", j.live},
		{"an event is read and replayed", j.event},
		{"keys are enough", j.keys},
		{"selected events are replayed", j.selection},
		{"given-up deliveries are tried again by destination", j.deadLetters},
		{"a refused webhook is explained, and released once it verifies", j.quarantine},
		{"a destination is paused and resumed", j.destination},
		{"the threshold of an alert is changed and reset", j.condition},
		{"columns are chosen, and the search box completes", j.columns},
		{"a bulk replay is counted, begun and followed", j.replay},
		{"a new integration waits for its first webhook", j.wizard},
		{"a secret is rotated", j.rotation},
		{"a secret that a handshake brought is confirmed", j.confirmation},
		{"a key is made, shown once, and revoked", j.apiKeys},
		{"what was done is in the audit trail", j.audit},
		{"a viewer sees no button that would be refused", j.viewer},
		{"a session ends with its key", j.revoked},
		{"what breaks the policy would be noticed", j.broken},
	} {
		if !t.Run(each.name, func(t *testing.T) {
			b.t, g.t = t, t
			each.run(t)
			b.clean(each.name)
		}) {
			break
		}
	}
	b.t, g.t = t, t
}

type journeys struct {
	*browser
	ids map[string]string
}

func (j *journeys) signInByLink(t *testing.T) {
	link := j.g.link()
	j.visit(link)
	j.until("document.querySelector('nav.side')")
	require.Equal(t, "/console", j.path())
	require.NotContains(t, j.eval("document.cookie"), "console", "scripts cannot read the session")
	j.allowed = []string{"401"}
	j.visit("/console/events") // the link is good no more, and the session goes on
	require.Contains(t, j.eval("document.title"), "Events")
}

func (j *journeys) overview(t *testing.T) {
	j.g.until("what waits was measured", func() bool {
		j.visit("/console")
		text := j.text()
		return strings.Contains(text, "given up") && strings.Contains(text, "in quarantine")
	})
	require.Equal(t, "true", j.eval("document.querySelectorAll('.spark .line').length >= 4"))
	j.follow(`.needs a[href="/console/dead-letters"]`, "location.pathname === '/console/dead-letters'")
	require.Contains(t, j.text(), "HTTP 500")
}

func (j *journeys) filter(t *testing.T) {
	j.visit("/console/events")
	j.run(chromedp.SetValue("select[name=source]", "shop-eu"))
	j.until("location.search === '?source=shop-eu'")
	j.until("document.querySelectorAll('tbody tr').length === 28")
	j.visit("/console/events?source=shop-eu&status=failed")
	j.until("document.querySelectorAll('tbody tr').length === 4")
	require.Equal(t, "source:shop-eu status:failed", j.eval("document.getElementById('q').value"))
	j.follow(".word", "location.search === '?status=failed'")
	j.eval("history.back()")
	j.until("document.querySelectorAll('.word').length === 2")
}

func (j *journeys) search(t *testing.T) {
	for _, text := range []string{"evt_shop_2003", j.ids["failed"], "EVT_SHOP"} {
		j.visit("/console/events")
		j.run(chromedp.KeyEvent("/"))
		j.until("document.activeElement.id === 'q'")
		j.run(chromedp.SetValue("#q", text), chromedp.KeyEvent(kb.Enter)) // the tool types the slash too
		if text == "EVT_SHOP" {
			j.until("document.querySelector('.note.bad')")
			require.Contains(t, j.text(), "No event has “EVT_SHOP” as its id")
			continue
		}
		j.until("location.pathname === '/console/events/" + j.ids["failed"] + "'")
	}
	j.visit("/console/e/batch-2026-11")
	j.until("document.querySelectorAll('tbody tr').length === 9")
	require.Equal(t, "/console/events?correlation=batch-2026-11", j.path())
}

func (j *journeys) live(t *testing.T) {
	j.visit("/console/events?source=billing")
	j.until("document.querySelectorAll('tbody tr').length === 9")
	// the stream shows what happens after it was opened
	sent := 0
	j.g.until("the new event is announced", func() bool {
		sent++
		j.g.send("billing", webhook{ID: "live_" + strings.Repeat("x", sent), Type: "invoice.sent", Subject: "inv_live"})
		return j.eval("document.querySelector('.fresh')?.textContent ?? ''") != ""
	})
	require.Equal(t, "9", j.eval("document.querySelectorAll('tbody tr').length"), "nothing moves under the pointer")
	j.follow(".fresh", "document.querySelectorAll('tbody tr').length > 9 && !document.querySelector('.fresh')")
	j.run(chromedp.Click("[data-tail]"))
	id := j.g.send("billing", webhook{ID: "live_tail", Type: "invoice.voided"})
	j.until(`document.querySelector('tr[data-id="` + id + `"]')`)
	j.run(chromedp.Click("[data-tail]"))
}

func (j *journeys) event(t *testing.T) {
	id := j.ids["failed"]
	j.visit("/console/events/" + id)
	text := j.text()
	for _, part := range []string{"order.created", "evt_shop_2003", "Verified and stored", "Attempt 3 at shop-eu/2: failed", "Attempt 1 at shop-eu/1: delivered", "HTTP 500"} {
		require.Contains(t, text, part)
	}
	j.until("document.querySelector('pre.json .key')")
	require.Contains(t, j.eval("document.querySelector('pre').textContent.replace(/[▾▸]/g, '')"), `"total": "249.00"`)
	j.visit("/console/events/" + id + "?tab=answers")
	require.Contains(t, j.text(), "the order service cannot reach its database")
	j.visit("/console/events/" + id + "?tab=diff")
	require.Equal(t, "true", j.eval("document.querySelectorAll('.diff .plus').length > 0 && document.querySelectorAll('.diff .minus').length > 0"))
	j.visit("/console/events/" + id)
	j.run(chromedp.KeyEvent("r"), chromedp.WaitVisible("#replay"))
	require.Contains(t, j.text(), "1 destination whose last delivery failed: shop-eu/2")
	j.run(chromedp.SendKeys("#replay input[name=reason]", "the warehouse is back"))
	j.follow("#replay button.primary", "document.querySelector('.note.good')")
	j.g.ends(id, "processed")
	j.until("document.querySelector('.head .chip').textContent.includes('delivered')") // without a reload
	require.Contains(t, j.text(), "Replay asked for by management-key")
}

func (j *journeys) keys(t *testing.T) {
	j.visit("/console")
	j.run(chromedp.KeyEvent("ge"))
	j.until("location.pathname === '/console/events'")
	j.run(chromedp.KeyEvent("jj"))
	j.until("document.querySelectorAll('tbody tr')[1].hasAttribute('aria-current')")
	first := j.eval("document.querySelectorAll('[data-open]')[1].getAttribute('href')")
	second := j.eval("document.querySelectorAll('[data-open]')[2].getAttribute('href')")
	j.run(chromedp.KeyEvent(kb.Enter))
	j.until("location.pathname === '" + first + "'")
	j.run(chromedp.KeyEvent("]"))
	j.until("location.pathname === '" + second + "'")
	j.run(chromedp.KeyEvent("3"))
	j.until("location.search === '?tab=answers'")
	j.run(chromedp.KeyEvent("?"), chromedp.WaitVisible("#help"), chromedp.KeyEvent(kb.Escape))
	j.until("!document.querySelector('#help:popover-open')")
	j.run(chromedp.KeyEvent(kb.Escape))
	j.until("location.pathname === '/console/events'")
	require.Equal(t, "off", j.keysOff())
}

// keysOff switches the keys off and on again.
func (j *journeys) keysOff() string {
	press := func(value string) {
		j.run(chromedp.Click(".me > button"), chromedp.WaitVisible("#account"))
		j.follow(`#account button[name=keys][value=`+value+`]`, "document.documentElement.dataset.keys === '"+value+"'")
	}
	press("off")
	defer press("on")
	return j.eval("document.documentElement.dataset.keys")
}

func (j *journeys) selection(t *testing.T) {
	j.visit("/console/events?source=shop-eu&status=failed")
	j.until("document.querySelectorAll('tbody tr').length === 3")
	j.run(chromedp.KeyEvent("jxjx"))
	j.until("document.querySelector('[data-count]').textContent === '2 events selected'")
	j.follow("[data-bar] button", "location.pathname === '/console/events/replay'")
	require.Contains(t, j.text(), "Replay 2 events")
	j.run(chromedp.SendKeys("input[name=reason]", "the mail server is back"))
	j.follow("button.primary", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "2 events are being replayed")
}

func (j *journeys) deadLetters(t *testing.T) {
	j.g.fail("/mail", false)
	j.visit("/console/dead-letters")
	require.Contains(t, j.text(), "the destination answered HTTP 500")
	j.follow(`.group:has(a[href^="/console/destinations/"]) > .head .actions button`, "document.querySelector('#confirm')")
	j.run(chromedp.SendKeys(".confirm input[name=reason]", "the mail server is back"))
	j.follow(".confirm button.primary", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "tried again at ")
}

func (j *journeys) quarantine(t *testing.T) {
	j.visit("/console/quarantine?source=billing")
	require.Contains(t, j.text(), "none of 1 secrets matched")
	j.follow("[data-open]", "location.pathname.startsWith('/console/quarantine/')")
	require.Contains(t, j.text(), "A secret of the source made the signature")
	j.follow(".actions button.primary", "document.querySelector('.note.bad')")
	require.Contains(t, j.text(), "Still refused: none of 1 secrets matched.")
	require.Equal(t, http.StatusCreated, j.g.call(http.MethodPost, "/integrations/"+j.g.ids["billing"]+"/secrets", map[string]any{"value": "another secret"}, nil))
	j.visit("/console/quarantine?source=billing")
	j.follow(".group .actions button", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "Of 5 of billing: 5 released")
}

func (j *journeys) destination(t *testing.T) {
	var billing struct{ Destinations []struct{ ID string } }
	require.Equal(t, http.StatusOK, j.g.call(http.MethodGet, "/integrations/"+j.g.ids["billing"], nil, &billing))
	j.visit("/console/destinations") // whose order depends on what is failing just then
	j.follow(`tr:has(td.type) a[data-open][href="/console/destinations/`+billing.Destinations[0].ID+`"]`, "location.pathname.startsWith('/console/destinations/')")
	j.run(chromedp.Click(".actions button[popovertarget=pause]"), chromedp.WaitVisible("#pause"))
	j.follow("#pause .danger", "document.querySelector('.chip.off')")
	require.Contains(t, j.text(), "is paused")
	j.run(chromedp.Click(".actions button[popovertarget=resume]"), chromedp.WaitVisible("#resume"))
	j.follow("#resume .primary", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "is resumed")
	j.follow(`form[action$="/test#test"] button`, "document.querySelector('article.answer')")
	require.Contains(t, j.text(), "the sample, as")
	require.Contains(t, j.text(), `"stored": true`)
	j.run(chromedp.SendKeys("input[name=other]", "00000000-0000-7000-8000-000000000000"))
	j.follow(`form[action$="/test#test"] button`, "document.querySelector('.note.bad')")
}

func (j *journeys) condition(t *testing.T) {
	j.visit("/console/alerts?state=conditions")
	change := func(threshold, then string) {
		j.run(chromedp.Click(`button[popovertarget=change-quarantine]:not([popovertargetaction])`), chromedp.WaitVisible("#change-quarantine"))
		j.eval("document.querySelector('#change-quarantine input[name=threshold]').value = '" + threshold + "'")
		j.run(chromedp.SendKeys("#change-quarantine input[name=reason]", "a known flood"))
		j.follow("#change-quarantine .primary", then)
	}
	change("many", "document.querySelector('.note.bad')")
	change("250", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "configured 100")
	j.follow(`form[action$="/quarantine/reset"] button`, "document.querySelector('.note.good') && !document.querySelector('form[action$=\"/reset\"]')")
}

func (j *journeys) columns(t *testing.T) {
	j.visit("/console/events?source=billing")
	j.run(chromedp.Click("button[popovertarget=columns]:not([popovertargetaction])"), chromedp.WaitVisible("#columns"))
	j.run(chromedp.Click("#columns input[value=subject]"))
	j.follow("#columns .primary", "![...document.querySelectorAll('th')].some((h) => h.textContent === 'Subject')")
	require.Equal(t, "/console/events?source=billing", j.path())
	j.run(chromedp.Click("button[popovertarget=columns]:not([popovertargetaction])"), chromedp.WaitVisible("#columns"), chromedp.Click("#columns input[value=subject]"))
	j.follow("#columns .primary", "[...document.querySelectorAll('th')].some((h) => h.textContent === 'Subject')")
	j.visit("/console/events")
	j.run(chromedp.Focus("#q"))
	j.until("[...document.querySelectorAll('#words option')].some((o) => o.value === 'source:billing')")
}

func (j *journeys) replay(t *testing.T) {
	j.visit("/console/events?source=shop-eu&type=order.paid")
	j.follow(`.words a[href^="/console/replays/new"]`, "location.pathname === '/console/replays/new'")
	j.follow("button.primary", "document.querySelector('#check')")
	require.Contains(t, j.text(), "It would send 12 deliveries of 6 events")
	j.run(chromedp.SendKeys("#check input[name=reason]", "accounting asks for them again"))
	j.follow("#check button.primary", "document.querySelector('progress')")
	j.until("document.querySelector('.head .chip').textContent.includes('completed')")
	require.Contains(t, j.text(), "12 of 12")
}

func (j *journeys) wizard(t *testing.T) {
	j.visit("/console/integrations")
	j.follow(".actions .primary", "document.querySelector('[data-narrow]')")
	j.run(chromedp.SendKeys("[data-narrow]", "acme"))
	j.follow(`.tiles a[href="?provider=acme"]`, "document.querySelector('input[name=source]')")
	j.run(chromedp.SetValue("input[name=source]", "acme"), chromedp.SendKeys("input[name=secret]", secretOf("wizard")))
	j.follow("button.primary", "document.querySelector('.note.bad')")
	require.Equal(t, "acme", j.eval("document.querySelector('input[name=source]').value"), "what was typed is kept, the secret aside")
	j.run(chromedp.SetValue("input[name=source]", "wizard"), chromedp.SendKeys("input[name=secret]", secretOf("wizard")), chromedp.SendKeys("input[name=url]", j.g.receiver.URL+"/wizard"))
	j.follow("button.primary", "document.querySelector('[data-live=first]')")
	require.Contains(t, j.text(), "Waiting for the first webhook to wizard")
	require.Contains(t, j.text(), "whsec_", "shown once")
	require.Contains(t, j.text(), "/api/v1/webhooks/wizard")
	j.g.send("wizard", webhook{ID: "w0", Type: "order.created", Forged: true})
	j.until("document.body.innerText.includes('None of the source\u2019s secrets') || document.body.innerText.includes(\"None of the source's secrets\")")
	id := j.g.send("wizard", webhook{ID: "w1", Type: "order.created"})
	j.until("document.querySelector('h1').textContent.includes('has arrived')")
	j.follow("[data-live] a.primary", "location.pathname === '/console/events/"+id+"'")
}

func (j *journeys) rotation(t *testing.T) {
	j.visit("/console/integrations/" + j.g.ids["newsletter"])
	require.Contains(t, j.text(), "the only one")
	j.run(chromedp.Click(`p:not(.buttons) > button[popovertarget="add-secret"]`), chromedp.WaitVisible("#add-secret"), chromedp.SendKeys("#add-secret input[name=value]", "the next secret"))
	j.follow("#add-secret .primary", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "Both verify now")
	require.NotContains(t, j.text(), "the next secret")
	j.follow(`form[action$="/retire"] button`, "document.querySelector('form[action$=\"/restore\"]')")
	j.follow(`form[action$="/restore"] button`, "!document.querySelector('form[action$=\"/restore\"]')")
}

func (j *journeys) confirmation(t *testing.T) {
	var made struct{ ID string }
	require.Equal(t, http.StatusCreated, j.g.call(http.MethodPost, "/integrations", map[string]any{"source": "tasks", "provider": "asana", "secrets": []string{}}, &made))
	status, _ := j.g.request(http.MethodPost, "/api/v1/webhooks/tasks", []byte("{}"), map[string]string{"Content-Type": "application/json", "X-Hook-Secret": "brought-by-a-handshake"})
	require.Equal(t, http.StatusOK, status)
	j.visit("/console/integrations/" + made.ID)
	require.Contains(t, j.text(), "came in a handshake, which anybody can send")
	require.NotContains(t, j.text(), "brought-by-a-handshake")
	j.follow(`form[action$="/confirm"] button`, "!document.querySelector('form[action$=\"/confirm\"]')")
	require.NotContains(t, j.text(), "came in a handshake, which anybody can send")
}

func (j *journeys) apiKeys(t *testing.T) {
	j.visit("/console/keys")
	j.run(chromedp.SendKeys("input[name=name]", "console-test"))
	j.follow("section .primary", "document.querySelector('.secret')")
	require.Contains(t, j.eval("document.querySelector('.secret').textContent"), "igk_")
	j.visit("/console/keys")
	require.Equal(t, "null", j.eval("document.querySelector('.secret')"))
	j.run(chromedp.Click(`tbody tr button[popovertarget]`), chromedp.WaitVisible(".pop.dialog:popover-open"))
	j.follow(".pop.dialog:popover-open .danger", "document.querySelector('.note.good')")
	require.Contains(t, j.text(), "The key console-test is revoked")
}

func (j *journeys) audit(t *testing.T) {
	j.visit("/console/audit?action=api_key.revoked")
	require.Contains(t, j.text(), "management-key")
	require.Equal(t, "1", j.eval("document.querySelectorAll('tbody tr').length"))
}

func (j *journeys) viewer(t *testing.T) {
	var made struct{ ID, Key string }
	require.Equal(t, http.StatusCreated, j.g.call(http.MethodPost, "/api-keys", map[string]any{"name": "support", "role": "viewer", "sources": []string{"billing"}}, &made))
	j.g.ids["key"] = made.ID
	j.run(chromedp.Click(".me > button"), chromedp.WaitVisible("#account"))
	j.follow(`#account form[action="/console/sign-out"] button`, "location.pathname === '/console/sign-in'")
	j.signIn(made.Key)
	for _, path := range []string{"/console", "/console/events", "/console/quarantine", "/console/dead-letters", "/console/destinations", "/console/replays"} {
		j.visit(path)
		require.NotContains(t, j.text(), "shop-eu", path)
		require.Equal(t, "0", j.eval(`document.querySelectorAll('main form[method=post]:not([action="/console/preferences"]) button:not(.copy), main button.primary:not([action="/console/preferences"] *)').length`), path)
	}
	j.visit("/console/events/" + j.ids["failed"])
	require.Contains(t, j.text(), "Not found", "another source's event")
}

func (j *journeys) revoked(t *testing.T) {
	require.Equal(t, http.StatusOK, j.g.call(http.MethodDelete, "/api-keys/"+j.g.ids["key"], nil, nil))
	j.visit("/console/events?status=failed")
	require.Equal(t, "/console/sign-in?next=%2Fconsole%2Fevents%3Fstatus%3Dfailed", j.path())
	j.run(chromedp.SendKeys("input[name=key]", managementKey))
	j.follow("button.primary", "location.pathname === '/console/events'")
	require.Equal(t, "/console/events?status=failed", j.path(), "what was asked for")
}

// broken breaks the policy in several ways: checks that cannot fail are useless.
func (j *journeys) broken(t *testing.T) {
	for _, script := range []string{
		"document.body.append(Object.assign(new Image(), {src: 'https://evil.example/x.png'}))",
		"document.body.append(Object.assign(document.createElement('script'), {text: 'window.hit = 1'}))",
		"document.body.innerHTML = '<b>'",
		"document.body.setAttribute('style', 'color: red')",
	} {
		j.visit("/console")
		j.clean("before")
		j.eval("(() => { try { " + script + " } catch {} })()")
		j.g.until("the browser complains of "+script, func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			found := len(j.complaints) > 0
			j.complaints = nil
			return found
		})
		require.Equal(t, "undefined", j.eval("window.hit"))
	}
}
