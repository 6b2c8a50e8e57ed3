package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// attack is one attack on the front door, from its own client network.
type attack struct {
	name    string
	senders int
	pause   time.Duration           // between two requests of a sender
	text    func(n int64) []byte    // of request n, sent over a new connection
	answers map[string]int          // by status, or by the error
	setUp   func(addr string) error // creates the attacked source; nil if it exists

	next atomic.Int64
	mu   sync.Mutex
}

const bombSize = 5 << 20

// siege is every attack on the front door at once. Attackers need no credential, except for
// the one whose source has a slow filter.
type siege struct {
	addr    string
	attacks []*attack
}

// newSiege creates the attacked sources.
func newSiege(addr, callback string) (*siege, error) {
	form := compress([]byte(strings.Repeat("a&", bombSize/2)))
	blanks := compress(bytes.Repeat([]byte(" "), bombSize-1))
	all := []*attack{
		{name: "endless compressed bodies", senders: 33, pause: 100 * time.Millisecond, text: func(int64) []byte {
			whole := post("acme", blanks, "Content-Type: application/json", "Content-Encoding: gzip")
			return whole[:len(whole)-9]
		}},
		{name: "forms of many fields", senders: 4, pause: 400 * time.Millisecond, setUp: source("siege-twilio", "twilio", ""), text: func(int64) []byte {
			return post("siege-twilio", form, "Content-Type: application/x-www-form-urlencoded", "Content-Encoding: gzip",
				"X-Twilio-Signature: "+base64.StdEncoding.EncodeToString(make([]byte, 20)))
		}},
		{name: "invented source names", senders: 8, pause: 10 * time.Millisecond, text: func(n int64) []byte {
			return post(fmt.Sprintf("made-up-%d", n), []byte("{}"), "Content-Type: application/json")
		}},
		{name: "large bodies for the quarantine", senders: 4, pause: 400 * time.Millisecond, text: func(n int64) []byte {
			body := fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, n, strings.Repeat("x", 64<<10))
			return post("acme", compress(body), "Content-Type: application/json", "Content-Encoding: gzip", "X-Acme-Signature: "+strings.Repeat("0", 64))
		}},
		{name: "small bodies for the quarantine", senders: 8, pause: 50 * time.Millisecond, text: func(n int64) []byte {
			return post("acme", fmt.Appendf(nil, `{"n":%d}`, n), "Content-Type: application/json", "X-Acme-Signature: "+strings.Repeat("0", 64))
		}},
		{name: "invented certificates", senders: 4, pause: 50 * time.Millisecond, setUp: source("siege-paypal", "paypal", ""), text: func(n int64) []byte {
			return post("siege-paypal", []byte(`{"id":"WH-1","event_type":"x"}`), "Content-Type: application/json", "Paypal-Transmission-Id: 1",
				"Paypal-Transmission-Time: "+clock.System().UTC().Format(time.RFC3339), "Paypal-Auth-Algo: SHA256withRSA",
				"Paypal-Transmission-Sig: "+base64.StdEncoding.EncodeToString(make([]byte, 256)),
				fmt.Sprintf("Paypal-Cert-Url: https://api.paypal.com/v1/notifications/certs/CERT-%d", n))
		}},
		slowFilter(callback),
	}
	for _, a := range all {
		a.answers = map[string]int{}
		if a.setUp == nil {
			continue
		}
		if err := a.setUp(addr); err != nil {
			return nil, fmt.Errorf("the attack %s: %w", a.name, err)
		}
	}
	return &siege{addr, all}, nil
}

func (s *siege) answers() (map[string]map[string]int, error) {
	all := map[string]map[string]int{}
	for _, a := range s.attacks {
		all[a.name] = a.answers
	}
	return all, nil
}

// source creates a source with a random secret, and a destination if given.
func source(name, kind, destination string) func(addr string) error {
	return func(addr string) error {
		destinations := "[]"
		if destination != "" {
			destinations = "[" + destination + "]"
		}
		status, err := manage(addr, http.MethodPost, "/integrations",
			fmt.Sprintf(`{"source":%q,"provider":%q,"secrets":["0123456789abcdef0123456789abcdef"],"destinations":%s}`, name, kind, destinations))
		if err == nil && status != http.StatusCreated {
			err = fmt.Errorf("creating the source %s was answered %d", name, status)
		}
		return err
	}
}

// slowFilter sends signed webhooks to a source whose destination has a filter that doubles
// a list repeatedly. If such a filter is refused when it is saved, the source has none, and
// the webhooks are ordinary.
func slowFilter(callback string) *attack {
	const name, doublings = "siege-filter", 18
	filter := "l" + fmt.Sprint(doublings) + ".size() == 0 || l" + fmt.Sprint(doublings) + " == l" + fmt.Sprint(doublings)
	for i := doublings; i > 0; i-- {
		filter = fmt.Sprintf("cel.bind(l%d, l%d + l%d, %s)", i, i-1, i-1, filter)
	}
	filter = "cel.bind(l0, [1, 1], " + filter + ")"
	return &attack{
		name: "a slow filter", senders: 1, pause: 500 * time.Millisecond,
		setUp: func(addr string) error {
			text, _ := json.Marshal(filter) // strings always marshal
			if source(name, "globex", fmt.Sprintf(`{"url":%q,"filter":%s}`, callback+"/"+name, text))(addr) == nil {
				return nil
			}
			return source(name, "globex", fmt.Sprintf(`{"url":%q}`, callback+"/"+name))(addr)
		},
		text: func(n int64) []byte {
			body := fmt.Appendf(nil, `{"id":"siege-%d","type":"t","timestamp":"2026-01-05T09:00:00Z","resource":{"id":"1"}}`, n)
			return post(name, body, "Content-Type: application/json", "X-Globex-Token: 0123456789abcdef0123456789abcdef")
		},
	}
}

// start runs all attacks until stop is called.
func (s *siege) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for network, a := range s.attacks {
		for range a.senders {
			all.Go(func() { a.run(ctx, s.addr, fmt.Sprintf("127.1.%d.1", network+1)) })
		}
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// run sends requests from a loopback address, each over a new connection that is held until
// the gateway answers or closes it.
func (a *attack) run(ctx context.Context, addr, from string) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: responseTimeout}
	for ctx.Err() == nil {
		a.note(exchange(ctx, &dialer, addr, a.text(a.next.Add(1)-1)))
		select {
		case <-ctx.Done():
		case <-time.After(a.pause):
		}
	}
}

// exchange returns the status of a response, or the error.
func exchange(ctx context.Context, dialer *net.Dialer, addr string, text []byte) string {
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "no connection"
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, _ = conn.Write(text) // the response may arrive before everything is read
	answer := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		if ctx.Err() != nil {
			return "none until the end"
		}
		return "closed"
	}
	return string(answer[len("HTTP/1.1 "):])
}

func (a *attack) note(answer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[answer]++
}

// post returns a request in its wire format.
func post(source string, body []byte, headers ...string) []byte {
	head := fmt.Sprintf("POST /api/v1/webhooks/%s HTTP/1.1\r\nHost: siege\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n\r\n",
		source, len(body), strings.Join(headers, "\r\n"))
	return append([]byte(head), body...)
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a buffer accepts everything
	_ = w.Close()
	return b.Bytes()
}

// manage sends a request to the management API.
func manage(addr, method, path, body string) (status int, err error) {
	req, err := http.NewRequest(method, "http://"+addr+"/api/v1"+path, strings.NewReader(body)) //nolint:noctx // bounded below
	if err != nil {
		return 0, fmt.Errorf("request %s: %w", path, err)
	}
	req.Header.Set("X-Internal-Api-Key", managementKey)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: responseTimeout}
	res, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("request %s: %w", path, err)
	}
	return res.StatusCode, res.Body.Close()
}
