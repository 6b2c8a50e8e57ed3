package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// manner is how a webhook is sent.
type manner int

const (
	valid      manner = iota
	forged            // signed with another secret
	unsigned          // without the header that proves who sent it
	stale             // signed an hour ago
	unreadable        // signed, and no event of the provider
)

// send sends a webhook as its provider does, and returns the id of its event; "" if it was refused.
func (w *world) send(ctx context.Context, s *source, sample provider.Sample, how manner) (string, error) {
	at, address := clock.System(), w.o.URL+"/api/v1/webhooks/"+s.name
	key := secret.New(s.secret)
	switch how {
	case forged:
		key = secret.New("whsec_another_secret")
	case stale:
		at = at.Add(-time.Hour)
	case unreadable:
		sample.Body = `{"object":"list","data":[]}`
	}
	signed, err := s.spec.SampleRequest(sample, key, at, address, id.New())
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(signed.Body))
	if err != nil {
		return "", fmt.Errorf("make the request: %w", err)
	}
	req.Header = signed.Header.Clone()
	req.Header.Set("User-Agent", s.agent)
	if how == unsigned {
		for _, name := range []string{"Stripe-Signature", "X-Shopify-Hmac-Sha256", "X-Hub-Signature-256"} {
			req.Header.Del(name)
		}
	}
	res, err := w.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("send a webhook: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("read the answer to a webhook: %w", err)
	}
	w.sent++
	return w.accepted(s, res, text), nil
}

// accepted takes note of the event that a webhook became.
func (w *world) accepted(s *source, res *http.Response, text []byte) string {
	var said struct {
		Data struct {
			EventID string `json:"eventId"`
		} `json:"data"`
	}
	_ = json.Unmarshal(text, &said) // what was refused has no event
	eventID := said.Data.EventID
	if eventID == "" {
		eventID = res.Header.Get("X-Event-Id")
	}
	if eventID != "" && len(w.ids[s.name]) < 1000 {
		w.ids[s.name] = append(w.ids[s.name], eventID)
	}
	return eventID
}
