package console

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// screenshots names a folder for pictures of every screen in both themes and three sizes:
//
//	CONSOLE_SCREENSHOTS=/tmp/screens go test ./test/console -run TestScreens
const screenshots = "CONSOLE_SCREENSHOTS"

var sizes = []struct{ width, height int64 }{{1440, 900}, {1024, 768}, {390, 844}}

// one returns the id of the first row of a list.
func (g *gateway) one(path string) string {
	g.t.Helper()
	var rows []struct {
		ID string `json:"id"`
	}
	g.until("there is one of "+path, func() bool {
		g.call("GET", path, nil, &rows)
		return len(rows) > 0
	})
	return rows[0].ID
}

// ownProvider makes a source with a mapping of its own and an event, and returns its id.
func (g *gateway) ownProvider() string {
	g.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	require.Equal(g.t, http.StatusCreated, g.call(http.MethodPost, "/integrations", map[string]any{"source": "kiosk", "provider": "generic", "name": "Kiosk", "secrets": []string{"a-token-of-the-kiosk"},
		"options": map[string]any{"generic": map[string]any{"scheme": "token", "signature": map[string]any{"header": "X-Token"},
			"event": map[string]any{"id": "$.id", "type": "$.kind", "subject": "$.customer.name"}}}}, &made))
	status, _ := g.request(http.MethodPost, "/api/v1/webhooks/kiosk", []byte(`{"id":"k-1","kind":"sale.closed","customer":{"name":"Ada Lovelace","mail":"ada@example.com"},"total":"19.90","lines":[{"sku":"tea","n":2}]}`),
		map[string]string{"X-Token": "a-token-of-the-kiosk", "Content-Type": "application/json"})
	require.Equal(g.t, http.StatusAccepted, status)
	return made.ID
}

// screens are all screens with their names, on what the demo left.
func screens(g *gateway) []struct{ name, path string } {
	var all []struct {
		ID, Source   string
		Destinations []struct{ ID string }
	}
	g.call("GET", "/integrations", nil, &all)
	in, destinations := map[string]string{}, map[string][]string{}
	for _, i := range all {
		in[i.Source] = i.ID
		for _, d := range i.Destinations {
			destinations[i.Source] = append(destinations[i.Source], d.ID)
		}
	}
	shop := g.ownProvider()
	failed, delivered := g.one("/events?source=storefront&status=failed"), g.one("/events?source=engineering&status=processed")
	return []struct{ name, path string }{
		{"sign-in", "/console/sign-in"},
		{"overview", "/console"},
		{"events", "/console/events"},
		{"event", "/console/events/" + failed},
		{"event-canonical", "/console/events/" + failed + "?tab=canonical"},
		{"event-answers", "/console/events/" + failed + "?tab=answers"},
		{"event-diff", "/console/events/" + failed + "?tab=diff"},
		{"event-jobs", "/console/events/" + failed + "?tab=jobs"},
		{"event-audit", "/console/events/" + failed + "?tab=audit"},
		{"event-related", "/console/events/" + delivered + "?tab=related"},
		{"event-erase", "/console/events/" + delivered + "/erase"},
		{"dead-letters", "/console/dead-letters"},
		{"quarantine", "/console/quarantine"},
		{"quarantined", "/console/quarantine/" + g.one("/quarantine?source=payments")},
		{"destinations", "/console/destinations"},
		{"destination", "/console/destinations/" + destinations["storefront"][1]},
		{"destination-failing", "/console/destinations/" + destinations["payments"][1]},
		{"replays", "/console/replays"},
		{"replay", "/console/replays/" + g.one("/replays?source=storefront")},
		{"replay-new", "/console/replays/new?source=storefront&step=check&rate=100"},
		{"integrations", "/console/integrations"},
		{"integration", "/console/integrations/" + in["storefront"]},
		{"integration-new", "/console/integrations/new"},
		{"integration-form", "/console/integrations/new?provider=stripe"},
		{"integration-first", "/console/integrations/" + in["quiet"] + "/first"},
		{"integration-mapping", "/console/integrations/" + shop + "/mapping"},
		{"alerts", "/console/alerts"},
		{"alerts-history", "/console/alerts?state=resolved"},
		{"alerts-conditions", "/console/alerts?state=conditions"},
		{"audit", "/console/audit"},
		{"audit-filtered", "/console/audit?actor=api-key:grace"},
		{"keys", "/console/keys"},
		{"system", "/console/system"},
		{"settings", "/console/system/settings"},
		{"settings-all", "/console/system/settings?all=yes"},
		{"nothing", "/console/events?type=none.such"},
	}
}

// quick prints what the page that is open cost, and holds it to its bound.
func (b *browser) quick(name string) {
	b.t.Helper()
	b.until("performance.getEntriesByName('first-contentful-paint').length === 1")
	paint, answer := b.eval("Math.round(performance.getEntriesByName('first-contentful-paint')[0].startTime)"), b.eval("Math.round(performance.getEntriesByType('navigation')[0].responseEnd)")
	requests, bytes := b.transferred()
	b.t.Logf("%-16s %2d requests, %5.1f kB, answered after %s ms, first paint after %s ms", name, requests, bytes/1000, answer, paint)
	assert.Less(b.t, bytes, 60_000.0, name)
}

// sectionInView reports whether the section of the page is to be seen among all sections.
const sectionInView = `(() => {
	const here = document.querySelector('#sections [aria-current]');
	return !here || here.getBoundingClientRect().left >= 0 && here.getBoundingClientRect().right <= innerWidth;
})()`

// TestScreens opens every screen in every size and theme: nothing is complained of, nothing is
// wider than the window, and every screen is as it should be for everyone.
func TestScreens(t *testing.T) {
	g := startDemo(t)
	g.source("quiet", "Not yet connected", "/quiet")
	b := open(t, g)
	b.look(1440, 900, "light")
	b.signIn(managementKey)
	folder := os.Getenv(screenshots)
	if folder != "" { // what was measured, and an alert that has ended
		g.patiently("an alert has ended", func() bool {
			var ended []struct{}
			g.call("GET", "/alerts?state=resolved", nil, &ended)
			return len(ended) > 0
		})
	}
	for _, s := range screens(g) {
		for i, size := range sizes {
			for j, theme := range []string{"light", "dark"} {
				if folder == "" && i%2 != j { // without pictures each size has one theme
					continue
				}
				b.look(size.width, size.height, theme)
				b.transferred()
				b.visit(s.path)
				b.until("document.readyState === 'complete'")
				if size.width == 1440 && theme == "light" {
					b.quick(s.name)
				}
				where := fmt.Sprintf("%s at %dx%d, %s", s.name, size.width, size.height, theme)
				b.clean(where)
				assert.Equal(t, strconv.FormatBool(s.name == "sign-in"), b.eval("document.body.classList.contains('bare')"), "%s is the page of an error", where)
				assert.Equal(t, "true", b.eval(fmt.Sprintf("document.documentElement.scrollWidth <= %d", size.width)), "%s is wider than the window", where)
				assert.Equal(t, "true", b.eval(sectionInView), "%s: the open section is out of sight", where)
				b.accessible(where)
				if folder != "" {
					var whole, window []byte
					b.run(chromedp.CaptureScreenshot(&window), chromedp.FullScreenshot(&whole, 100))
					require.NoError(t, os.MkdirAll(folder, 0o755))
					name := filepath.Join(folder, fmt.Sprintf("%s-%d-%s", s.name, size.width, theme))
					require.NoError(t, os.WriteFile(name+".png", whole, 0o600))
					require.NoError(t, os.WriteFile(name+"-window.png", window, 0o600))
				}
			}
		}
	}
}
