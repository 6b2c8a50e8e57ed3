package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// standardSender sends webhooks with net/http's client, like a provider written in Go.
type standardSender struct {
	template
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
}

// newStandardSenders makes n senders, which share a client.
func newStandardSenders(t template, n int) []sender {
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n, DisableCompression: true}}
	list := make([]sender, n)
	for i := range list {
		list[i] = &standardSender{template: t.copy(), client: client, cancel: func() {}}
	}
	return list
}

func (s *standardSender) setDeadline(deadline time.Time) {
	s.cancel()
	s.ctx, s.cancel = context.WithDeadline(context.Background(), deadline)
}

func (s *standardSender) send(n int) (status int, err error) {
	s.fill(n)
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+s.addr+string(s.text[len("POST "):s.path]), bytes.NewReader(s.text[s.body:]))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Acme-Signature", string(s.text[s.signature:s.signature+2*len(s.sum)]))
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func (s *standardSender) close() {
	s.cancel()
	s.client.CloseIdleConnections()
}
