package console

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// corpus is what senders put into fields to run a script in an operator's browser.
var corpus = []string{
	`<script>window.hit=1</script>`,
	`<img src=x onerror=window.hit=1>`,
	`"><svg onload=window.hit=1>`,
	`' autofocus onfocus=window.hit=1 x='`,
	`</title></textarea></style></script><script>window.hit=1</script>`,
	`javascript:window.hit=1`,
	`{{.Actor}}{{template "content"}}`,
	`${window.hit=1}`,
	`<iframe srcdoc="<script>parent.hit=1</script>">`,
	`<form action=https://evil.example><button>Sign in</button></form>`,
	`<meta http-equiv=refresh content="0;url=https://evil.example">`,
	`<base href=https://evil.example/>`,
	`<style>@import 'https://evil.example/x.css'</style>`,
	"\u202egnp.exe\u2066\u200b",
	`--><!--<img src=x onerror=window.hit=1>`,
	`<math><mtext></form><form><mglyph><style></math><img src onerror=window.hit=1>`,
	strings.Repeat("W", 3000),
}

// TestWhatASenderSaysIsOnlyText puts the corpus into every field that a sender, a destination or
// another operator controls, and looks at it on every screen.
func TestWhatASenderSaysIsOnlyText(t *testing.T) {
	g := start(t, "ALERT_DEAD_LETTERS=1")
	g.source("hostile", `<img src=x onerror=window.hit=1>`, "/x")
	g.fail("/x", true)
	var events []string
	for i, text := range corpus {
		if i == 2 { // more failures would open the breaker
			g.ends(events[0], "failed")
			g.ends(events[1], "failed")
			g.fail("/x", false)
		}
		short := text[:min(len(text), 250)]
		events = append(events, g.send("hostile", webhook{ID: fmt.Sprintf("%d%s", i, short), Type: short[:min(len(short), 100)], Subject: text, Data: map[string]any{"id": text, text: []string{text}},
			Header: map[string]string{"X-Note": strings.Map(printable, text), "User-Agent": strings.Map(printable, text)}}))
		g.send("hostile", webhook{ID: short, Type: text, Subject: text, Forged: true})
	}
	for _, id := range events[2:] {
		g.ends(id, "processed")
	}
	require.Equal(t, http.StatusAccepted, g.call(http.MethodPost, "/events/"+events[0]+"/replay", map[string]any{"reason": corpus[2], "requestedBy": corpus[1]}, nil))
	require.Equal(t, http.StatusAccepted, g.call(http.MethodPost, "/replays", map[string]any{"all": true, "reason": corpus[4], "requestedBy": corpus[1]}, nil))
	var quarantined, replays []struct {
		ID string `json:"id"`
	}
	g.until("the quarantine is stored", func() bool {
		g.call(http.MethodGet, "/quarantine?pageSize=100", nil, &quarantined)
		return len(quarantined) == len(corpus)
	})
	g.call(http.MethodGet, "/replays", nil, &replays)
	integration := mapped(g)
	garbled(g)
	b := open(t, g)
	b.look(1440, 900, "light")
	b.signIn(managementKey)
	pages := append(operated(g), "/console", "/console/events", "/console/quarantine", "/console/dead-letters", "/console/destinations", "/console/replays", "/console/replays/"+replays[0].ID,
		"/console/dead-letters?status=resolved", "/console/dead-letters?status=requeued", "/console/integrations/"+integration+"/mapping")
	for i, id := range events {
		for _, tab := range []string{"received", "canonical", "answers", "diff", "jobs", "related", "audit"} {
			if i < 3 || tab == "received" {
				pages = append(pages, "/console/events/"+id+"?tab="+tab)
			}
		}
		if i < 4 {
			pages = append(pages, "/console/quarantine/"+quarantined[i].ID)
		}
	}
	for _, text := range corpus[:6] {
		pages = append(pages, "/console/events?subject="+escaped(text)+"&source="+escaped(text), "/console/search?q="+escaped(text), "/console/e/"+escaped(strings.ReplaceAll(text, "/", "")), "/console/sign-in?next="+escaped(text))
	}
	for _, page := range pages {
		b.visit(page)
		b.harmless(page)
	}
	for i, text := range corpus { // the preview of a mapping, with what the events have and with what was typed
		page := "/console/integrations/" + integration + "/mapping"
		b.visit(page)
		b.eval(fmt.Sprintf("document.querySelector('[name=event]').selectedIndex = %d", i%10))
		b.fill("field-type", "$.old")
		b.fill("field-subject", "text:"+text)
		b.follow("button[value=try]", "document.querySelector('#tried') || document.querySelector('.note.bad')")
		if i == 0 {
			require.Contains(t, b.eval("document.querySelector('#tried').innerText"), text, "the preview shows it")
		}
		b.harmless(page + " with " + text)
		b.visit(page)
		b.fill("field-type", text)
		b.follow("button[value=try]", "document.querySelector('#tried') || document.querySelector('.note.bad')")
		b.harmless(page + " of the type " + text)
	}
	b.visit("/console/dead-letters")
	require.Contains(t, b.text(), "window.hit", "what a destination answers is in the errors of its group")
	b.follow(".reason button[formaction$=resolve]", "document.querySelector('#confirm')")
	require.Contains(t, b.text(), "window.hit")
	b.harmless("the question before a group is closed")
}

// harmless holds that a page ran nothing of the corpus, and shows it as text.
func (b *browser) harmless(page string) {
	b.t.Helper()
	b.until("document.readyState === 'complete'")
	require.Equal(b.t, "undefined undefined", b.eval("window.hit + ' ' + window.frames[0]"), page)
	require.True(b.t, strings.HasPrefix(b.eval("location.href"), b.g.base+"/console"), page)
	require.Equal(b.t, "0", b.eval(`document.querySelectorAll("iframe, base, math, img, style, form[action*=evil], meta[content*=evil]").length`), page)
	require.Equal(b.t, "true", b.eval("document.documentElement.scrollWidth <= innerWidth"), "%s is wider than the window", page)
	b.clean(page)
}

// fill types text into a field.
func (b *browser) fill(name, text string) {
	b.t.Helper()
	value, err := json.Marshal(text)
	require.NoError(b.t, err)
	b.eval(fmt.Sprintf("document.querySelector('[name=%s]').value = %s", name, value))
}

// mapped makes a source whose mapping is its own, with the corpus in its events, and returns its
// integration's id.
func mapped(g *gateway) string {
	g.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	require.Equal(g.t, http.StatusCreated, g.call(http.MethodPost, "/integrations", map[string]any{"source": "mapped", "provider": "generic", "secrets": []string{secretOf("mapped")},
		"options": map[string]any{"generic": map[string]any{"scheme": "token", "signature": map[string]any{"header": "X-Token"},
			"event": map[string]any{"id": "$.id", "type": "$.type", "subject": "$.old"}}}}, &made))
	for i, text := range corpus {
		body, err := json.Marshal(map[string]any{"id": fmt.Sprint(i), "type": text[:min(len(text), 100)], "old": text, text: text})
		require.NoError(g.t, err)
		status, answer := g.request(http.MethodPost, "/api/v1/webhooks/mapped", body, map[string]string{"Content-Type": "application/json", "X-Token": secretOf("mapped")})
		require.Equal(g.t, http.StatusAccepted, status, "%s", answer)
	}
	return made.ID
}

// garbled has deliveries given up on whose destinations answer with the corpus in place of a
// status, and closes one of them, and acknowledges the alert about them, with the corpus in the reason.
func garbled(g *gateway) {
	g.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", strings.ReplaceAll(corpus[i%4], " ", "\t"))
			}
			_ = conn.Close()
		}
	}()
	raw := "http://" + listener.Addr().String()
	require.Equal(g.t, http.StatusCreated, g.call(http.MethodPost, "/integrations", map[string]any{"source": "garbled", "provider": "acme",
		"secrets": []string{secretOf("garbled")}, "destinations": []map[string]any{{"url": raw + "/a"}, {"url": raw + "/b"}}}, nil))
	for _, text := range corpus[:2] {
		g.ends(g.send("garbled", webhook{ID: text, Type: text, Subject: text}), "failed")
	}
	var letters []struct {
		ID string `json:"id"`
	}
	g.until("four deliveries are given up", func() bool {
		g.call(http.MethodGet, "/dead-letters?source=garbled", nil, &letters)
		return len(letters) == 4
	})
	require.Equal(g.t, http.StatusOK, g.call(http.MethodPost, "/dead-letters/"+letters[0].ID+"/resolve", map[string]any{"reason": corpus[4], "requestedBy": corpus[1]}, nil))
	require.Equal(g.t, http.StatusAccepted, g.call(http.MethodPost, "/dead-letters/"+letters[1].ID+"/requeue", map[string]any{"reason": corpus[4], "requestedBy": corpus[1]}, nil))
	var alerts []struct {
		ID string `json:"id"`
	}
	g.patiently("an alert is open", func() bool {
		g.call(http.MethodGet, "/alerts?state=open&condition=dead_letters", nil, &alerts)
		return len(alerts) > 0
	})
	require.Equal(g.t, http.StatusOK, g.call(http.MethodPost, "/alerts/"+alerts[0].ID+"/acknowledge", map[string]any{"note": corpus[1]}, nil))
}

// operated puts the corpus into what operators and senders say elsewhere, as far as the API takes
// it, and returns the pages that show it.
func operated(g *gateway) []string {
	g.t.Helper()
	taken := map[string]int{}
	try := func(what, path string, body map[string]any) {
		if status := g.call(http.MethodPost, path, body, nil); status < 300 {
			taken[what]++
		}
	}
	for i, text := range corpus {
		short := text[:min(len(text), 250)]
		try("mutes", "/alerts/mutes", map[string]any{"condition": "destination_failing", "subject": short, "reason": "because " + short, "until": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
		try("keys", "/api-keys", map[string]any{"name": text[:min(len(text), 60)], "role": "viewer"})
		try("names", "/integrations", map[string]any{"source": fmt.Sprintf("named-%d", i), "provider": "acme", "name": short, "secrets": []string{secretOf("hostile")},
			"destinations": []map[string]any{{"url": g.receiver.URL + "/x?q=" + escaped(short), "headers": map[string]string{"X-Note": strings.Map(printable, short)}}}})
		try("sources", "/integrations", map[string]any{"source": short, "provider": short, "name": short, "secrets": []string{short}})
		path := "/api/v1/webhooks/hostile?q=" + escaped(short)
		g.request(http.MethodPost, path, []byte(short), map[string]string{"Content-Type": strings.Map(printable, short), "X-Acme-Signature": strings.Map(printable, short), "X-Correlation-Id": strings.Map(printable, short)})
	}
	require.Positive(g.t, taken["mutes"], "%v", taken)
	require.Positive(g.t, taken["names"], "%v", taken)
	var all []struct {
		ID           string `json:"id"`
		Destinations []struct {
			ID string `json:"id"`
		} `json:"destinations"`
	}
	g.call(http.MethodGet, "/integrations?pageSize=100", nil, &all)
	pages := []string{"/console/alerts", "/console/alerts?state=resolved", "/console/audit", "/console/keys", "/console/system", "/console/integrations", "/console/integrations/new?provider=" + escaped(corpus[0]),
		"/console/replays/new?source=" + escaped(corpus[1]) + "&step=check&reason=" + escaped(corpus[2])}
	for _, in := range all[:min(len(all), 4)] {
		pages = append(pages, "/console/integrations/"+in.ID)
		for _, d := range in.Destinations {
			pages = append(pages, "/console/destinations/"+d.ID)
		}
	}
	return pages
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
