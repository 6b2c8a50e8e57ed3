package console

import (
	"fmt"
	"os"
	"path/filepath"
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

// screens are all screens with their names.
func screens(g *gateway, ids map[string]string) []struct{ name, path string } {
	var destinations, quarantined []struct {
		ID string `json:"id"`
	}
	var in struct {
		Destinations []struct {
			ID string `json:"id"`
		} `json:"destinations"`
	}
	g.call("GET", "/integrations/"+g.ids["newsletter"], nil, &in)
	g.call("GET", "/quarantine", nil, &quarantined)
	destinations = in.Destinations
	return []struct{ name, path string }{
		{"sign-in", "/console/sign-in"},
		{"overview", "/console"},
		{"events", "/console/events"},
		{"event", "/console/events/" + ids["failed"]},
		{"event-canonical", "/console/events/" + ids["failed"] + "?tab=canonical"},
		{"event-answers", "/console/events/" + ids["failed"] + "?tab=answers"},
		{"event-diff", "/console/events/" + ids["failed"] + "?tab=diff"},
		{"event-jobs", "/console/events/" + ids["failed"] + "?tab=jobs"},
		{"event-audit", "/console/events/" + ids["failed"] + "?tab=audit"},
		{"event-related", "/console/events/" + ids["delivered"] + "?tab=related"},
		{"dead-letters", "/console/dead-letters"},
		{"quarantine", "/console/quarantine"},
		{"quarantined", "/console/quarantine/" + quarantined[0].ID},
		{"destinations", "/console/destinations"},
		{"destination", "/console/destinations/" + destinations[0].ID},
		{"replays", "/console/replays"},
		{"replay", "/console/replays/" + ids["replay"]},
		{"replay-new", "/console/replays/new?source=shop-eu&step=check&rate=100"},
		{"integrations", "/console/integrations"},
		{"integration", "/console/integrations/" + g.ids["billing"]},
		{"integration-new", "/console/integrations/new"},
		{"integration-form", "/console/integrations/new?provider=stripe"},
		{"integration-first", "/console/integrations/" + g.ids["quiet"] + "/first"},
		{"alerts", "/console/alerts"},
		{"audit", "/console/audit"},
		{"keys", "/console/keys"},
		{"system", "/console/system"},
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

// TestScreens opens every screen in every size and theme: nothing is complained of, nothing is
// wider than the window, and every screen is as it should be for everyone.
func TestScreens(t *testing.T) {
	g := start(t)
	ids := lively(g)
	b := open(t, g)
	b.look(1440, 900, "light")
	b.signIn(managementKey)
	folder := os.Getenv(screenshots)
	if folder != "" { // the overview shows what was measured
		g.until("the dead letters were counted", func() bool {
			var stats struct {
				Gateway struct {
					Now struct{ DeadLetters, Quarantine int }
				}
			}
			g.call("GET", "/stats", nil, &stats)
			return stats.Gateway.Now.DeadLetters > 4 && stats.Gateway.Now.Quarantine == 6
		})
	}
	for _, s := range screens(g, ids) {
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
				assert.Equal(t, "true", b.eval(fmt.Sprintf("document.documentElement.scrollWidth <= %d", size.width)), "%s is wider than the window", where)
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
