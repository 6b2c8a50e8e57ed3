package app

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/testkit"
)

// benched is a gateway with a console and many events.
type benched struct {
	b      *testing.B
	g      *system
	http   http.Handler
	cookie *http.Cookie
}

func newBenched(b *testing.B, events int) *benched {
	b.Helper()
	address := os.Getenv("BENCH_CONSOLE_URL")
	if address == "" {
		address = testkit.Postgres(b)
	}
	db := testkit.Open(b, address)
	require.NoError(b, db.MigrateUp())
	g, err := wire(devConfig(b), &stores{db: db, broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(b, err)
	fillConsole(b, g, address, events)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{g.gauges.Run, g.figures.Run} { // as beside any console
		running.Go(func() { _ = run(ctx) })
	}
	b.Cleanup(func() {
		stop()
		running.Wait()
	})
	s := &benched{b: b, g: g, http: g.manager.Handler()}
	res := s.request(http.MethodPost, "/console/sign-in", url.Values{"key": {config.DemoKey}})
	require.Equal(b, http.StatusSeeOther, res.Code)
	s.cookie = res.Result().Cookies()[0] //nolint:bodyclose // it is in memory
	require.Eventually(b, func() bool {
		_, measured := g.gauges.Last()
		return measured
	}, time.Minute, 100*time.Millisecond)
	return s
}

func (s *benched) request(method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:3000"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept-Encoding", "gzip")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:3000")
	}
	if s.cookie != nil {
		r.AddCookie(s.cookie)
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	return w
}

// text reads a page.
func (s *benched) text(w *httptest.ResponseRecorder) string {
	s.b.Helper()
	in, err := gzip.NewReader(w.Body)
	require.NoError(s.b, err)
	text, err := io.ReadAll(in)
	require.NoError(s.b, err)
	return string(text)
}

// one returns an id of a column.
func (s *benched) one(query string) string {
	s.b.Helper()
	var found string
	require.NoError(s.b, s.g.db.Get(s.b.Context(), &found, query))
	return found
}

// pages are all pages by their names.
func (s *benched) pages() []struct{ name, path string } {
	const ofMiddle = ` ORDER BY id OFFSET 100 LIMIT 1`
	event := "/console/events/" + s.one(`SELECT normalized_event_id FROM delivery_attempts WHERE status = 'failed' ORDER BY id LIMIT 1 OFFSET 100`)
	integration := s.one(`SELECT id FROM integrations ORDER BY source LIMIT 1`)
	destination := "/console/destinations/" + s.one(`SELECT id FROM destinations WHERE integration_id = '`+integration+`' LIMIT 1`)
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(s.text(s.request(http.MethodGet, "/console/events", nil)))
	require.NotNil(s.b, next)
	return []struct{ name, path string }{
		{"sign-in", "/console/sign-in"},
		{"overview", "/console"},
		{"overview, 24 hours", "/console?span=24h"},
		{"overview, 7 days", "/console?span=7d"},
		{"events", "/console/events"},
		{"events, second page", strings.ReplaceAll(next[1], "&amp;", "&")},
		{"events, failed", "/console/events?status=failed"},
		{"events of a source", "/console/events?source=source-07"},
		{"events of a type, two hours", "/console/events?type=order.7&since=2h"},
		{"events, one subject", "/console/events?exact-subject=ord_5000"},
		{"events, a part of a subject", "/console/events?subject=ord_5000"},
		{"events, none", "/console/events?type=none.such"},
		{"an id in the search box", "/console/search?q=stored-5000"},
		{"event", event},
		{"event, answers", event + "?tab=answers"},
		{"event, jobs", event + "?tab=jobs"},
		{"event, audit", event + "?tab=audit"},
		{"event, related", event + "?tab=related"},
		{"event, diff", event + "?tab=diff"},
		{"dead letters", "/console/dead-letters"},
		{"quarantine", "/console/quarantine"},
		{"quarantined", "/console/quarantine/" + s.one(`SELECT id FROM quarantine`+strings.Replace(ofMiddle, "100", "10", 1))},
		{"destinations", "/console/destinations"},
		{"destination", destination},
		{"destination, 24 hours", destination + "?span=24h"},
		{"replays", "/console/replays"},
		{"new replay", "/console/replays/new?source=source-07&since=2h"},
		{"integrations", "/console/integrations"},
		{"integration", "/console/integrations/" + integration},
		{"new integration", "/console/integrations/new"},
		{"alerts", "/console/alerts"},
		{"audit", "/console/audit"},
		{"audit of an action", "/console/audit?action=integration.created"},
		{"keys", "/console/keys"},
		{"system", "/console/system"},
	}
}

// BenchmarkConsole measures every page on PostgreSQL: from the request to the whole answer in this
// process, bytes as a browser without a cache gets them packed (the page, its style sheet and its
// scripts), and the number of these requests. Every visit is one iteration of a page's benchmark.
//
//	BENCH_CONSOLE=10000000 go test ./platform/app -run '^$' -bench Console -benchtime 40x -timeout 3h
//
// With BENCH_CONSOLE_URL, a database of one's own is filled, and stays for the next time.
func BenchmarkConsole(b *testing.B) {
	s := newBenched(b, benchEvents(b))
	for _, page := range s.pages() {
		b.Run(page.name, func(b *testing.B) {
			first := s.request(http.MethodGet, page.path, nil)
			require.Contains(b, []int{http.StatusOK, http.StatusSeeOther}, first.Code, page.path)
			alone, all, requests := first.Body.Len(), first.Body.Len(), 1
			if first.Code == http.StatusOK {
				for _, asset := range regexp.MustCompile(`(?:href|src)="(/console/assets/[^"]+)"`).FindAllStringSubmatch(s.text(first), -1) {
					all, requests = all+s.request(http.MethodGet, asset[1], nil).Body.Len(), requests+1
				}
			}
			took := make([]time.Duration, 0, 64)
			for b.Loop() {
				at := clock.Monotonic()
				s.request(http.MethodGet, page.path, nil)
				took = append(took, clock.Monotonic()-at)
			}
			slices.Sort(took)
			millis := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
			b.ReportMetric(millis(50), "p50-ms")
			b.ReportMetric(millis(95), "p95-ms")
			b.ReportMetric(float64(alone)/1000, "page-kB")
			b.ReportMetric(float64(all)/1000, "all-kB")
			b.ReportMetric(float64(requests), "requests")
			require.Less(b, all, 60_000, "a page and what it loads is below 60 kB")
		})
	}
}
