package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// refreshConsole is how soon an open overview is read again while something happens, as the
// console's script does.
const refreshConsole = 5 * time.Second

// withConsoles compares no console with n open ones.
func withConsoles(n int) []watched {
	env := []string{"CONSOLE=on"}
	return []watched{
		{name: "no console", env: env},
		{name: fmt.Sprintf("%d consoles open", n), keep: 0.97, env: env, consoles: n},
	}
}

// consoles are browsers with an open overview each: a session of its own, its event stream, and
// the page anew every refreshConsole.
type consoles struct {
	base            string
	messages, pages atomic.Int64
	mu              sync.Mutex
	failed          error // the first failure
}

// openConsoles signs n browsers in and opens their streams. They are open until stop is called,
// which fails if one of them was not served.
func openConsoles(ctx context.Context, addr string, n int) (c *consoles, stop func() error, err error) {
	c = &consoles{base: "http://" + addr}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	end := func() error {
		cancel()
		all.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.failed
	}
	for range n {
		browser, err := c.signIn(ctx)
		if err != nil {
			return c, nil, firstOf(err, end())
		}
		stream, err := c.get(ctx, browser, "/console/stream")
		if err != nil {
			return c, nil, firstOf(err, end())
		}
		all.Go(func() { c.follow(ctx, stream) })
		all.Go(func() { c.refresh(ctx, browser) })
	}
	return c, end, nil
}

func (c *consoles) signIn(ctx context.Context) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("keep cookies: %w", err)
	}
	browser := &http.Client{Jar: jar}
	form := url.Values{"key": {managementKey}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/console/sign-in", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", c.base)
	res, err := browser.Do(r)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK { // of the page that it leads to
		return nil, fmt.Errorf("signing in to the console was answered %d", res.StatusCode)
	}
	return browser, nil
}

func (c *consoles) get(ctx context.Context, browser *http.Client, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := browser.Do(r)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, firstOf(fmt.Errorf("GET %s was answered %d", path, res.StatusCode), res.Body.Close())
	}
	return res.Body, nil
}

// follow reads a stream to its end, which is not to come before the browser leaves.
func (c *consoles) follow(ctx context.Context, stream io.ReadCloser) {
	defer func() { _ = stream.Close() }()
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event: ") {
			c.messages.Add(1)
		}
	}
	if ctx.Err() == nil {
		c.fail(fmt.Errorf("a console's stream ended: %w", firstOf(lines.Err(), io.ErrUnexpectedEOF)))
	}
}

func (c *consoles) refresh(ctx context.Context, browser *http.Client) {
	for clock.Sleep(ctx, refreshConsole) {
		page, err := c.get(ctx, browser, "/console")
		if err == nil {
			_, err = io.Copy(io.Discard, page)
			_ = page.Close()
		}
		if err != nil && ctx.Err() == nil {
			c.fail(err)
			return
		}
		c.pages.Add(1)
	}
}

func (c *consoles) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = firstOf(c.failed, err)
}

// measureConsoles measures without and with n open consoles, in turns.
func (b *bench) measureConsoles(ctx context.Context, w workload, n int) (observed, error) {
	return b.inTurns(ctx, w, withConsoles(n))
}
