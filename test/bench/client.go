package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	acmeSecret = "acme-demo-secret" //nolint:gosec // everybody knows it
	digits     = 8                  // of a webhook's number in its id
)

// template is a request with gaps for the number and the signature. A client of
// net/http costs as much as the gateway does, and both share the machine's cores.
type template struct {
	text      []byte
	signature int // where it begins
	body      int
	numbers   []int
	addr      string
}

// newTemplate makes requests to addr with bodies of payload bytes, whose ids begin
// with mark.
func newTemplate(addr, mark string, payload int) (template, error) {
	gap := strings.Repeat("0", digits)
	body := fmt.Sprintf(`{"eventId":"%s-%s","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z",`+
		`"data":{"id":"ord_%s","total":"19.90","currency":"EUR","note":""}}`, mark, gap, gap)
	if len(body) > payload {
		return template{}, fmt.Errorf("--payload: the smallest body has %d bytes", len(body))
	}
	const end = len(`"}}`)
	body = body[:len(body)-end] + strings.Repeat("x", payload-len(body)) + body[len(body)-end:]
	head := fmt.Sprintf("POST /api/v1/webhooks/acme HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"X-Acme-Signature: ", addr, payload)
	t := template{addr: addr, signature: len(head), body: len(head) + 2*sha256.Size + len("\r\n\r\n")}
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

// client sends webhooks over one connection that it keeps.
type client struct {
	template
	mac  hash.Hash
	sum  []byte
	conn net.Conn
	buf  []byte
}

func newClient(t template) *client {
	t.text = bytes.Clone(t.text)
	return &client{template: t, mac: hmac.New(sha256.New, []byte(acmeSecret)), buf: make([]byte, 8<<10)}
}

// send sends webhook number n and gives the answer's status.
func (c *client) send(n int, deadline time.Time) (status int, err error) {
	c.fill(n)
	return c.exchange(deadline)
}

// exchange sends the text as it is and gives the answer's status. After an error the next
// one goes over a new connection.
func (c *client) exchange(deadline time.Time) (status int, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, 5*time.Second); err != nil { //nolint:noctx // bounded
			return 0, err
		}
		if err := c.conn.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	if _, err = c.conn.Write(c.text); err == nil {
		status, err = c.answer()
	}
	if err != nil {
		c.close()
	}
	return status, err
}

func (c *client) fill(n int) {
	for i := digits - 1; i >= 0; i-- {
		for _, at := range c.numbers {
			c.text[at+i] = byte('0' + n%10)
		}
		n /= 10
	}
	c.mac.Reset()
	c.mac.Write(c.text[c.body:])
	c.sum = c.mac.Sum(c.sum[:0])
	hex.Encode(c.text[c.signature:], c.sum)
}

var errAnswer = errors.New("an answer that this client does not read")

// answer reads one answer: its head, and as much body as it says.
func (c *client) answer() (status int, err error) {
	have := 0
	for {
		n, err := c.conn.Read(c.buf[have:])
		if err != nil {
			return 0, err
		}
		have += n
		end := bytes.Index(c.buf[:have], []byte("\r\n\r\n"))
		if end < 0 {
			if have == len(c.buf) {
				return 0, errAnswer
			}
			continue
		}
		head := c.buf[:end]
		if len(head) < len("HTTP/1.1 200") {
			return 0, errAnswer
		}
		status, err = strconv.Atoi(string(head[9:12]))
		if err != nil {
			return 0, errAnswer
		}
		length, ok := contentLength(head)
		if !ok {
			return 0, errAnswer
		}
		return status, c.skip(length - (have - end - len("\r\n\r\n")))
	}
}

func (c *client) skip(left int) error {
	for left > 0 {
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return err
		}
		left -= n
	}
	if left < 0 {
		return errAnswer // more than one answer to one request
	}
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// contentLength reads the header of that name as Go's servers and clients write it.
func contentLength(head []byte) (int, bool) {
	_, rest, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		return 0, false
	}
	number, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(number))
	return n, err == nil
}
