package console

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// hand is an operator's, whose clicks and keys are counted. What is typed counts letter by letter,
// also where people paste.
type hand struct {
	*browser
	clicks, keys int
}

// click clicks and waits for what comes of it.
func (h *hand) click(selector, condition string) {
	h.t.Helper()
	h.clicks++
	h.follow(selector, condition)
}

// press presses keys.
func (h *hand) press(keys, condition string) {
	h.t.Helper()
	h.keys += len([]rune(keys))
	h.run(chromedp.KeyEvent(keys))
	h.until(condition)
}

// enter clicks into a field and types.
func (h *hand) enter(selector, text string) {
	h.t.Helper()
	h.clicks++
	h.keys += len([]rune(text))
	h.run(chromedp.WaitVisible(selector), chromedp.SendKeys(selector, text))
}

// choose opens a list and takes one of its entries.
func (h *hand) choose(selector, value, condition string) {
	h.t.Helper()
	h.clicks += 2
	h.run(chromedp.WaitVisible(selector))
	h.until("true") // the page's script reacts
	h.run(chromedp.SetValue(selector, value))
	h.eval(fmt.Sprintf("document.querySelector(%q)?.dispatchEvent(new Event('change', {bubbles: true}))", selector))
	h.until(condition)
}

// TestTasks does what people come for, from the overview on, and prints what each takes.
func TestTasks(t *testing.T) {
	g := start(t)
	ids := lively(g)
	require.Equal(t, http.StatusOK, g.call(http.MethodPut, "/alerts/conditions/dead_letters", map[string]any{"threshold": 1, "reason": "an alert for the tasks"}, nil))
	g.call(http.MethodPost, "/events/"+ids["delivered"]+"/replay", map[string]any{"reason": "the ledger asked", "requestedBy": "ada"}, nil)
	b := open(t, g)
	b.look(1440, 900, "light")
	b.signIn(managementKey)
	k := &tasks{ids: ids}
	for i, task := range []struct {
		name string
		run  func(t *testing.T, h *hand)
	}{
		{"find what happened to an event", k.find},
		{"see why a destination fails", k.why},
		{"replay the failures of an hour", k.replay},
		{"release what was refused, after rotating the secret", k.release},
		{"pause a destination for two hours", k.pause},
		{"add an integration and see its first webhook", k.integrate},
		{"erase a person's data", k.erase},
		{"see who replayed an event", k.who},
		{"acknowledge an alert", k.acknowledge},
		{"make a key", k.key},
	} {
		if !t.Run(task.name, func(t *testing.T) {
			b.t, g.t = t, t
			h := &hand{browser: b}
			b.visit("/console")
			b.until("document.querySelector('nav.side')")
			task.run(t, h)
			b.clean(task.name)
			t.Logf("task %2d: %2d clicks, %2d keys: %s", i+1, h.clicks, h.keys, task.name)
		}) {
			break
		}
	}
	b.t, g.t = t, t
}

type tasks struct{ ids map[string]string }

func (k *tasks) find(t *testing.T, h *hand) {
	h.press("/", "document.activeElement.id === 'q'")
	h.eval("document.getElementById('q').value = ''") // the tool types the slash too
	h.press("evt_shop_2003"+kb.Enter, "location.pathname === '/console/events/"+k.ids["failed"]+"'")
	require.Contains(t, h.text(), "Attempt 3 at shop-eu/2: failed")
	require.Contains(t, h.text(), "the destination answered HTTP 500")
}

func (k *tasks) why(t *testing.T, h *hand) {
	h.press("gd", "location.pathname === '/console/destinations'")
	h.click("tbody tr a[data-open]", "location.pathname.startsWith('/console/destinations/')") // the failing one is first
	require.Contains(t, h.text(), "the destination answered HTTP 500")
	h.click(`section[aria-labelledby=errors] a`, "location.search === '?tab=answers'")
	require.Contains(t, h.text(), "the order service cannot reach its database")
}

func (k *tasks) replay(t *testing.T, h *hand) {
	h.g.fail("/mail", false)
	h.press("ge", "location.pathname === '/console/events'")
	h.choose("select[name=status]", "failed", "location.search === '?status=failed'")
	h.choose("select[name=since]", "1h", "location.search.includes('since=1h')")
	h.click(`.words a[href^="/console/replays/new"]`, "location.pathname === '/console/replays/new'")
	h.click("button.primary", "document.querySelector('#check')")
	h.enter("#check input[name=reason]", "the mail server is back")
	h.click("#check button.primary", "document.querySelector('progress')")
	h.until("document.querySelector('.head .chip').textContent.includes('completed')")
}

func (k *tasks) release(t *testing.T, h *hand) {
	h.press("gi", "location.pathname === '/console/integrations'")
	h.click(`a[data-open][href="/console/integrations/`+h.g.ids["billing"]+`"]`, "document.querySelector('.rotation')")
	h.click(`p:not(.buttons) > button[popovertarget="add-secret"]`, "document.querySelector('#add-secret:popover-open')")
	h.enter("#add-secret input[name=value]", "another secret")
	h.click("#add-secret .primary", "document.querySelector('.note.good')")
	h.press("gq", "location.pathname === '/console/quarantine'")
	h.click(`.group form:has(input[name=source][value=billing]) button`, "document.querySelector('.note.good')")
	require.Contains(t, h.text(), "Of 5 of billing: 5 released")
}

func (k *tasks) pause(t *testing.T, h *hand) {
	h.press("gd", "location.pathname === '/console/destinations'")
	h.click("tbody tr a[data-open]", "location.pathname.startsWith('/console/destinations/')")
	h.click(`.actions button[popovertarget=pause]`, "document.querySelector('#pause:popover-open')")
	h.choose("#pause select", "2h", "true")
	h.enter("#pause input[name=reason]", "moving")
	h.click("#pause .danger", "document.querySelector('.chip.off')")
	require.Contains(t, h.text(), "is paused for 2 h")
	require.Contains(t, h.text(), "resumed by itself in 1 h")
}

func (k *tasks) integrate(t *testing.T, h *hand) {
	h.press("gi", "location.pathname === '/console/integrations'")
	h.click(".actions .primary", "document.querySelector('[data-narrow]')")
	h.click(`.tiles a[href="?provider=acme"]`, "document.querySelector('input[name=source]')")
	h.eval("document.querySelector('input[name=source]').value = ''") // marked, and typed over
	h.enter("input[name=source]", "tasks")
	h.enter("input[name=secret]", secretOf("tasks"))
	h.enter("input[name=url]", h.g.receiver.URL+"/tasks")
	h.click("button.primary", "document.querySelector('[data-live=first]')")
	id := h.g.send("tasks", webhook{ID: "task-1", Type: "order.created"})
	h.until("document.querySelector('h1').textContent.includes('has arrived')")
	h.click("[data-live] a.primary", "location.pathname === '/console/events/"+id+"'")
}

func (k *tasks) erase(t *testing.T, h *hand) {
	id := h.g.send("billing", webhook{ID: "erase-me", Type: "invoice.paid", Subject: "inv_private"})
	other := h.g.send("billing", webhook{ID: "erase-me-too", Type: "invoice.sent", Subject: "inv_private"})
	h.g.ends(id, "processed")
	h.g.ends(other, "processed")
	h.press("/", "document.activeElement.id === 'q'")
	h.eval("document.getElementById('q').value = ''")
	h.press("erase-me"+kb.Enter, "location.pathname === '/console/events/"+id+"'")
	h.click(`.actions a[href$="/erase"]`, "document.querySelector('input[name=confirm]')")
	require.Contains(t, h.text(), "all 2 events of billing with the subject inv_private")
	h.click("input[name=scope][value=subject]", "document.querySelector('input[name=scope][value=subject]').checked")
	h.enter("input[name=reason]", "ticket 27")
	h.enter("input[name=confirm]", "no")
	h.click("button.danger", "document.querySelector('.note.bad')")
	require.Equal(t, "ticket 27", h.eval("document.querySelector('input[name=reason]').value"), "what was typed is kept")
	require.Equal(t, "true", h.eval("document.querySelector('input[name=scope][value=subject]').checked"), "and what was chosen")
	h.enter("input[name=confirm]", "erase")
	h.click("button.danger", "document.querySelector('.note.good')")
	for _, each := range []string{id, other} {
		h.g.until("its content is gone", func() bool {
			h.visit("/console/events/" + each)
			return h.eval("document.body.innerText.includes('inv_private')") == "false" && h.eval(`document.querySelector('.actions a[href$="/erase"]')`) == "null"
		})
	}
}

func (k *tasks) who(t *testing.T, h *hand) {
	h.press("ge", "location.pathname === '/console/events'")
	h.click(`tr[data-id="`+k.ids["delivered"]+`"] a[data-open]`, "location.pathname === '/console/events/"+k.ids["delivered"]+"'")
	require.Contains(t, h.text(), "Replay asked for by ada")
	require.Contains(t, h.text(), "the ledger asked")
}

func (k *tasks) acknowledge(t *testing.T, h *hand) {
	h.g.patiently("an alert is open", func() bool {
		var alerts []struct{}
		h.g.call(http.MethodGet, "/alerts?state=open&condition=dead_letters", nil, &alerts)
		return len(alerts) > 0
	})
	h.press("ga", "location.pathname === '/console/alerts'")
	h.click(`button[popovertarget^="know-"]`, "document.querySelector('.dialog:popover-open')")
	h.enter(".dialog:popover-open input[name=reason]", "on it")
	h.click(".dialog:popover-open .primary", "document.querySelector('.note.good')")
	require.Contains(t, h.text(), "management-key knows: “on it”")
}

func (k *tasks) key(t *testing.T, h *hand) {
	h.click(`nav.side a[href="/console/keys"]`, "location.pathname === '/console/keys'")
	h.enter("input[name=name]", "task")
	h.click("section .primary", "document.querySelector('.secret')")
	require.Contains(t, h.eval("document.querySelector('.secret').textContent"), "igk_")
}
