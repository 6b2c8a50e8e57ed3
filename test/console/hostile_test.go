package console

import (
	"fmt"
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
	g := start(t)
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
	b := open(t, g)
	b.look(1440, 900, "light")
	b.signIn(managementKey)
	pages := append(operated(g), "/console", "/console/events", "/console/quarantine", "/console/dead-letters", "/console/destinations", "/console/replays", "/console/replays/"+replays[0].ID)
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
		b.until("document.readyState === 'complete'")
		require.Equal(t, "undefined undefined", b.eval("window.hit + ' ' + window.frames[0]"), page)
		require.True(t, strings.HasPrefix(b.eval("location.href"), g.base+"/console"), page)
		require.Equal(t, "0", b.eval(`document.querySelectorAll("iframe, base, math, img, style, form[action*=evil], meta[content*=evil]").length`), page)
		require.Equal(t, "true", b.eval("document.documentElement.scrollWidth <= innerWidth"), "%s is wider than the window", page)
		b.clean(page)
	}
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
