package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is a Chromium with one tab. What it complains of fails the test.
type browser struct {
	t    *testing.T
	g    *gateway
	ctx  context.Context
	wait time.Duration

	mu         sync.Mutex
	complaints []string
	requests   int
	bytes      float64
	allowed    []string // parts of complaints that are expected
}

// open starts a browser with a fresh profile.
func open(t *testing.T, g *gateway) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "chromium is missing: install Debian's chromium")
		t.Skip("chromium is not installed")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:0:0], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience))
	all, endAll := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, end := chromedp.NewContext(all, chromedp.WithErrorf(func(string, ...any) {})) // of events that are newer than the package
	t.Cleanup(func() { end(); endAll() })
	b := &browser{t: t, g: g, ctx: ctx, wait: patience}
	chromedp.ListenTarget(ctx, b.listen)
	b.run(runtime.Enable(), network.Enable(), audits.Enable(), log.Enable())
	return b
}

// listen takes note of what the browser complains of, and of what was transferred.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		for _, part := range b.allowed {
			if strings.Contains(text, part) {
				return
			}
		}
		b.complaints = append(b.complaints, text)
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complain("an exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			complain("the console: %s", e.Args[0].Value)
		}
	case *audits.EventIssueAdded:
		if d := e.Issue.Details; d.ContentSecurityPolicyIssueDetails != nil {
			complain("a violation of the policy: %s %s", d.ContentSecurityPolicyIssueDetails.ViolatedDirective, d.ContentSecurityPolicyIssueDetails.BlockedURL)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
			complain("the log: %s", e.Entry.Text)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 500 {
			complain("%s answered %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.g.base) && !strings.HasPrefix(e.Request.URL, "data:") {
			complain("a request to %s", e.Request.URL)
		}
		if !strings.HasPrefix(e.Request.URL, "data:") {
			b.requests++
		}
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	}
}

// clean fails the test if the browser has complained.
func (b *browser) clean(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(b.t, b.complaints, where)
	b.complaints = nil
}

// transferred returns what was transferred since it was last asked.
func (b *browser) transferred() (requests int, bytes float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests, bytes = b.requests, b.bytes
	b.requests, b.bytes = 0, 0
	return requests, bytes
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, b.wait)
	if b.ctx == nil || chromedp.FromContext(b.ctx).Target == nil {
		ctx, cancel = b.ctx, func() {} // the first run begins the browser, and its context must last
	}
	defer cancel()
	require.NoError(b.t, chromedp.Run(ctx, actions...))
}

// visit opens a page of the console.
func (b *browser) visit(path string) {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.g.base + path
	}
	b.run(chromedp.Navigate(path))
}

// signIn signs in with a key.
func (b *browser) signIn(key string) {
	b.t.Helper()
	b.visit("/console/sign-in")
	b.run(chromedp.SendKeys("input[name=key]", key), chromedp.Click("button.primary"), chromedp.WaitVisible("nav.side"))
}

// text returns the page's text.
func (b *browser) text() string {
	b.t.Helper()
	return b.eval(`document.body.innerText`)
}

// eval returns the value of an expression, as a string.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var out string
	b.run(chromedp.Evaluate("String("+expression+")", &out))
	return out
}

// until waits for a condition of the page, once its scripts have run.
func (b *browser) until(condition string) {
	b.t.Helper()
	deadline := time.Now().Add(b.wait)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		var holds bool
		ctx, cancel := context.WithTimeout(b.ctx, b.wait)
		err := chromedp.Run(ctx, chromedp.Evaluate("document.readyState === 'complete' && Boolean("+condition+")", &holds))
		cancel()
		if err == nil && holds { // during a navigation there is no page to ask
			return
		}
		if time.Now().After(deadline) {
			require.Fail(b.t, "the page did not come to hold", "%s: %v\n%s", condition, err, b.text())
		}
	}
}

// follow clicks and waits for the next page.
func (b *browser) follow(selector, condition string) {
	b.t.Helper()
	b.run(chromedp.Click(selector, chromedp.NodeVisible))
	b.until(condition)
}

// path is the address of the page without the gateway's.
func (b *browser) path() string { return b.eval("location.pathname + location.search") }

// look sets the window and the theme.
func (b *browser) look(width, height int64, theme string) {
	b.t.Helper()
	b.run(emulation.SetDeviceMetricsOverride(width, height, 1, width < 500), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}))
}
