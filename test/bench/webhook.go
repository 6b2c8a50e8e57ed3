package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

const (
	acmeSecret = "acme-demo-secret" //nolint:gosec // well known
	digits     = 8                  // of a webhook's number in its id
)

// template is a request with gaps for the number and the signature.
type template struct {
	text      []byte
	sources   int // sources that webhooks are spread over, by number; 0 for one
	path      int // end offset
	signature int // start offset
	body      int
	numbers   []int
	addr      string
	mac       hash.Hash
	sum       []byte
}

// newTemplate makes requests to addr with bodies of payload bytes, whose ids begin with
// mark, for one source or spread over several.
func newTemplate(addr, mark string, payload, among int) (template, error) {
	gap := strings.Repeat("0", digits)
	body := fmt.Sprintf(`{"eventId":"%s-%s","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z",`+
		`"data":{"id":"ord_%s","total":"19.90","currency":"EUR","note":""}}`, mark, gap, gap)
	if len(body) > payload {
		return template{}, fmt.Errorf("--payload: the minimum is %d bytes", len(body))
	}
	const end = len(`"}}`)
	body = body[:len(body)-end] + strings.Repeat("x", payload-len(body)) + body[len(body)-end:]
	start := "POST /api/v1/webhooks/acme"
	if among > 0 {
		start = "POST /api/v1/webhooks/" + spreadSource(0)
	}
	head := fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Acme-Signature: ", start, addr, payload)
	t := template{addr: addr, sources: among, path: len(start), signature: len(head), body: len(head) + 2*sha256.Size + len("\r\n\r\n")}
	t.text = []byte(head + strings.Repeat("0", 2*sha256.Size) + "\r\n\r\n" + body)
	for at := t.body; ; at += digits {
		next := bytes.Index(t.text[at:], []byte(gap))
		if next < 0 || len(t.numbers) == 2 {
			return t, nil
		}
		at += next
		t.numbers = append(t.numbers, at)
	}
}

// copy returns a template of the caller's own.
func (t template) copy() template {
	t.text, t.mac = bytes.Clone(t.text), hmac.New(sha256.New, []byte(acmeSecret))
	return t
}

// fill turns the text into webhook number n.
func (t *template) fill(n int) {
	if t.sources > 0 {
		copy(t.text[t.path-2:], []byte{byte('0' + n%t.sources/10), byte('0' + n%t.sources%10)})
	}
	for i := digits - 1; i >= 0; i-- {
		for _, at := range t.numbers {
			t.text[at+i] = byte('0' + n%10)
		}
		n /= 10
	}
	t.mac.Reset()
	t.mac.Write(t.text[t.body:])
	t.sum = t.mac.Sum(t.sum[:0])
	hex.Encode(t.text[t.signature:], t.sum)
}
