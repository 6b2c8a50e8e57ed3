package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// standardSender sends webhooks with a client of net/http, as a provider written in Go would.
type standardSender struct {
	template
	client *http.Client
	life   context.Context
	end    context.CancelFunc
}

// newStandardSenders makes n of them, which share a client.
func newStandardSenders(t template, n int) []sender {
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n, DisableCompression: true}}
	list := make([]sender, n)
	for i := range list {
		list[i] = &standardSender{template: t.copy(), client: client, end: func() {}}
	}
	return list
}

func (s *standardSender) until(deadline time.Time) {
	s.end()
	s.life, s.end = context.WithDeadline(context.Background(), deadline)
}

func (s *standardSender) send(n int) (status int, err error) {
	s.fill(n)
	req, err := http.NewRequestWithContext(s.life, http.MethodPost, "http://"+s.addr+string(s.text[len("POST "):s.path]), bytes.NewReader(s.text[s.body:]))
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
	s.end()
	s.client.CloseIdleConnections()
}
