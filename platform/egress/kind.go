package egress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// Kind says, in a word that does not change, what kept an answer away.
type Kind string

// The kinds of failures.
const (
	KindRefused     Kind = "egress_refused" // by our own rules; the Refusal says why
	KindProxy       Kind = "proxy"          // EGRESS_PROXY did not connect
	KindDNS         Kind = "dns"            // the name did not resolve
	KindTimeout     Kind = "timeout"
	KindTLS         Kind = "tls" // the handshake, the certificate on either side included
	KindNoListener  Kind = "connection_refused"
	KindUnreachable Kind = "unreachable"
	KindLost        Kind = "connection_lost" // it broke off before an answer
	KindOther       Kind = "other"
)

// KindOf classifies an error of Do.
func KindOf(err error) Kind {
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
	case ofTLS(err):
		return KindTLS
	case is(syscall.ECONNREFUSED):
		return KindNoListener
	case is(syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return KindUnreachable
	case is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return KindLost
	}
	return KindOther
}

// ofTLS knows what crypto/tls has types for, and the rest, alerts of the other side among
// it, by how all of its errors begin.
func ofTLS(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	return errors.As(err, &certificate) || errors.As(err, &record) || strings.Contains(err.Error(), "tls: ")
}
