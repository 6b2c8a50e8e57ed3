package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
)

// Failure says why there was no response. Its text is for everyone who may see the
// delivery: it contains no address, resolver or URL. The wrapped error may, and is only
// logged.
type Failure struct {
	Kind    Kind
	Overdue bool // the request's time is used up
	text    string
	cause   error
}

func (f *Failure) Error() string { return f.text }
func (f *Failure) Unwrap() error { return f.cause }

// Detail returns the text of an error of Do for the operator's log, with addresses; "" if
// there is nothing to add. It contains no URL.
func Detail(err error) string {
	var f *Failure
	if !errors.As(err, &f) || f.cause == nil || f.cause.Error() == f.text {
		return ""
	}
	return f.cause.Error()
}

// fail makes a Failure of an error of RoundTrip or dial. If the request's time is over, the
// error is a timeout.
func fail(ctx context.Context, err error, at *progress) *Failure {
	var known *Failure
	kind := classify(err)
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	switch {
	case kind == KindRefused || kind == KindProxy:
		return &Failure{Kind: kind, text: withoutAddresses(err), cause: err}
	case errors.As(err, &known):
		return known
	case late && (kind == KindTimeout || kind == KindLost || kind == KindOther):
		return &Failure{Kind: KindTimeout, Overdue: true, text: at.timeoutText(), cause: errors.Join(context.DeadlineExceeded, err)}
	case kind == KindTimeout:
		return &Failure{Kind: KindTimeout, Overdue: true, text: at.timeoutText(), cause: err}
	}
	return &Failure{Kind: kind, text: textOf(kind, err), cause: err}
}

// textOf returns the text of a failure of a kind.
func textOf(kind Kind, err error) string {
	switch kind {
	case KindDNS:
		return dnsText(err)
	case KindNoListener:
		return "connection refused: no server is listening, or a firewall rejects it"
	case KindUnreachable:
		return "no route to the destination"
	case KindLost:
		return "the connection was closed before a response"
	}
	return withoutAddresses(err)
}

func dnsText(err error) string {
	var dns *net.DNSError
	switch errors.As(err, &dns); {
	case dns == nil:
		return "the host name cannot be resolved"
	case dns.IsNotFound:
		return "the host name does not exist"
	case dns.IsTimeout:
		return "the host name cannot be resolved: the resolver timed out"
	}
	return "the host name cannot be resolved: the resolver failed"
}

// withoutAddresses returns an error's text without the addresses that package net prepends.
func withoutAddresses(err error) string {
	var op *net.OpError
	var refusal Refusal
	var proxy *ProxyError
	var protocol protocolError
	switch {
	case errors.As(err, &protocol):
		return protocol.Error()
	case strings.Contains(err.Error(), "readLoopPeekFailLocked"): // net/http's text for it
		return errEarly.Error()
	case errors.As(err, &refusal):
		return refusal.Error()
	case errors.As(err, &proxy):
		return proxy.Error()
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // TLS alerts
		return op.Op + ": " + op.Err.Error()
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	case errors.As(err, new(tls.RecordHeaderError)):
		return "tls: the response is not TLS; the destination may use plain http"
	}
	return err.Error()
}

// progress is the stage of a request.
type progress struct{ stage atomic.Int32 }

var stageNames = [...]string{"connecting", "sending the request", "waiting for the response", "reading the response's header"}

func (p *progress) timeoutText() string { return "timeout while " + stageNames[p.stage.Load()] }

// maxInterim limits the interim responses (RFC 9110, 15.2).
const maxInterim = 32

// protocolError is a violation of HTTP.
type protocolError string

func (e protocolError) Error() string { return string(e) }

const (
	errSwitches = protocolError("the destination answered with an unrequested 101 Switching Protocols")
	errInterim  = protocolError("the destination sent an interim response (1xx) other than 100 and 103")
	errFlood    = protocolError("the destination sent too many interim responses (1xx)")
	errEarly    = protocolError("the destination sent data before the request")
)

// trace makes ctx track the stage of a request, and checks interim responses.
func (p *progress) trace(ctx context.Context) context.Context {
	interim := 0
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { p.stage.Store(1) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { p.stage.CompareAndSwap(1, 2) },
		GotFirstResponseByte: func() { p.stage.Store(3) },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			interim++
			switch {
			case code != 100 && code != 103:
				return errInterim
			case interim > maxInterim:
				return errFlood
			}
			return nil
		},
	})
}
