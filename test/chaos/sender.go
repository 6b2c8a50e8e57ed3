package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
)

const (
	secretsKey    = "chaos-suite-key-of-more-than-32-characters" //nolint:gosec // of this suite alone
	acmeSecret    = "acme-demo-secret"                           //nolint:gosec // well known
	sendTimeout   = 30 * time.Second
	givesUpAfter  = 60 * time.Second // after the last new webhook
	repeatRate    = 200              // webhooks a second when sending again
	signatureName = "X-Acme-Signature"
)

var resend = backoff.Exponential{Min: 300 * time.Millisecond, Max: 1500 * time.Millisecond}

// sender is a provider: it sends new webhooks at a constant rate, and retries each until it
// is answered 2xx.
type sender struct {
	ledger     *ledger
	name       string // makes the events' ids unique
	targets    []string
	source     func(n int64) string
	once       bool // an answer of any kind is the end
	client     *http.Client
	nextTarget atomic.Uint64
	sent       atomic.Int64
	open       sync.WaitGroup
}

func newSender(l *ledger, name string, targets []string, source func(int64) string) *sender {
	if source == nil {
		source = func(int64) string { return "acme" }
	}
	return &sender{ledger: l, name: name, targets: targets, source: source, client: &http.Client{
		Timeout:   sendTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 10 * time.Second},
	}}
}

// send sends new webhooks until ctx ends. Those that were not accepted are retried for a
// while.
func (s *sender) send(ctx context.Context) {
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(givesUpAfter, end) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := s.sent.Add(1)
		s.open.Add(1)
		go func() {
			defer s.open.Done()
			s.sendUntilAccepted(late, s.external(n), n)
		}()
	}
}

// sendMany sends n new webhooks as fast as some senders can, and waits until each was accepted.
func (s *sender) sendMany(ctx context.Context, n, senders int) error {
	var sending sync.WaitGroup
	left := atomic.Int64{}
	left.Store(int64(n))
	for range senders {
		sending.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				number := s.sent.Add(1)
				s.sendUntilAccepted(ctx, s.external(number), number)
			}
		})
	}
	sending.Wait()
	return context.Cause(ctx)
}

// repeat sends every webhook again, like a provider after an outage of ours, and retries
// each until it is answered 2xx.
func (s *sender) repeat(ctx context.Context) (int, error) {
	tick := time.NewTicker(time.Second / repeatRate)
	defer tick.Stop()
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	time.AfterFunc(givesUpAfter, end)
	last := s.sent.Load()
	for n := int64(1); n <= last; n++ {
		select {
		case <-ctx.Done():
			return int(n), context.Cause(ctx)
		case <-tick.C:
		}
		s.open.Add(1)
		go func() {
			defer s.open.Done()
			s.sendUntilAccepted(late, s.external(n), n)
		}()
	}
	return int(last), nil
}

// external returns the provider's id of the webhook of a number.
func (s *sender) external(n int64) string { return fmt.Sprintf("%s-%05d", s.name, n) }

// wait waits until every webhook was accepted or abandoned.
func (s *sender) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { s.open.Wait(); close(done) }()
	select {
	case <-done:
		s.client.CloseIdleConnections()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *sender) sendUntilAccepted(ctx context.Context, external string, n int64) {
	body := fmt.Appendf(nil, `{"eventId":%q,"eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z","data":{"id":"ord_%d","n":%d}}`,
		external, n, n)
	mac := hmac.New(sha256.New, []byte(acmeSecret))
	mac.Write(body)
	signature := hex.EncodeToString(mac.Sum(nil))
	for attempt := 0; ; attempt++ {
		began := clock.System()
		a, eventID := s.post(ctx, s.source(n), body, signature)
		a.at = clock.System()
		a.took = a.at.Sub(began)
		if ctx.Err() != nil && eventID == "" {
			return
		}
		s.ledger.recordAnswer(external, eventID, a)
		if eventID != "" || s.once && a.status != 0 || sustain(ctx, resend.Wait(attempt)) != nil {
			return
		}
	}
}

func (s *sender) post(ctx context.Context, source string, body []byte, signature string) (a answer, eventID string) {
	target := s.targets[s.nextTarget.Add(1)%uint64(len(s.targets))]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"/api/v1/webhooks/"+source, bytes.NewReader(body))
	if err != nil {
		return answer{}, ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(signatureName, signature)
	res, err := s.client.Do(req)
	if err != nil {
		return answer{}, ""
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return answer{}, ""
	}
	a = answer{status: res.StatusCode, retryAfter: res.Header.Get("Retry-After") != ""}
	if res.StatusCode/100 != 2 {
		return a, ""
	}
	var got struct {
		Data struct {
			EventID string `json:"eventId"`
		} `json:"data"`
	}
	if json.Unmarshal(text, &got) != nil || got.Data.EventID == "" {
		return answer{}, ""
	}
	return a, got.Data.EventID
}
