package egress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"
)

// Kind is a stable identifier of the reason why there was no response.
type Kind string

// The kinds of failures.
const (
	KindRefused     Kind = "egress_refused" // by our rules; the Refusal says why
	KindProxy       Kind = "proxy"          // EGRESS_PROXY did not connect
	KindDNS         Kind = "dns"            // the name did not resolve
	KindTimeout     Kind = "timeout"
	KindTLS         Kind = "tls" // the handshake, including the certificates of both sides
	KindNoListener  Kind = "connection_refused"
	KindUnreachable Kind = "unreachable"
	KindLost        Kind = "connection_lost" // closed before a response
	KindProtocol    Kind = "protocol"        // not an HTTP response to a POST, such as 101 Switching Protocols
	KindOther       Kind = "other"
)

// KindOf returns the kind of an error of Do.
func KindOf(err error) Kind {
	var known *Failure
	if errors.As(err, &known) {
		return known.Kind
	}
	return classify(err)
}

// classify returns the kind of a library's error.
func classify(err error) Kind {
	var (
		proxy   *ProxyError
		dns     *net.DNSError
		timeout net.Error
	)
	switch is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}; {
	case errors.As(err, new(Refusal)):
		return KindRefused
	case errors.As(err, &proxy):
		return KindProxy
	case errors.As(err, &dns):
		return KindDNS
	case errors.As(err, &timeout) && timeout.Timeout():
		return KindTimeout
	case isTLSError(err):
		return KindTLS
	case is(syscall.ECONNREFUSED):
		return KindNoListener
	case is(syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return KindUnreachable
	case is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed):
		return KindLost
	case isHTTPError(err):
		return KindProtocol
	}
	return KindOther
}

// isHTTPError recognises net/http's errors about an invalid response, most of which have no
// type.
func isHTTPError(err error) bool {
	if errors.As(err, new(protocolError)) || errors.As(err, new(textproto.ProtocolError)) {
		return true
	}
	for _, part := range []string{"malformed HTTP", "response headers exceeded", "readLoopPeekFailLocked", "unsupported transfer encoding", "bad Content-Length", "too many transfer encodings"} {
		if strings.Contains(err.Error(), part) {
			return true
		}
	}
	return false
}

// isTLSError recognises crypto/tls's typed errors, and the others, including alerts of the
// other side, by their common prefix.
func isTLSError(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	return errors.As(err, &certificate) || errors.As(err, &record) || strings.Contains(err.Error(), "tls: ")
}
