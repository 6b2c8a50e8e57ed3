package delivery

import (
	"errors"

	"integration-gateway/platform/egress"
)

// What an attempt's error kind may be beside egress's kinds.
const (
	failedStatus   = "http_status" // an answer, and none that means received
	failedRedirect = "redirect"
	failedToken    = "token"  // the token endpoint gave none
	failedUnsent   = "unsent" // there was nothing to send
)

// failureKinds are all kinds, for who asks for one.
var failureKinds = []string{failedStatus, failedRedirect, failedToken, failedUnsent, string(egress.KindRefused), string(egress.KindProxy),
	string(egress.KindDNS), string(egress.KindTimeout), string(egress.KindTLS), string(egress.KindNoListener), string(egress.KindUnreachable),
	string(egress.KindLost), string(egress.KindOther)}

// refusedPrefix starts what is stored of a refusal; its reason follows.
const refusedPrefix = string(egress.KindRefused) + ":"

// failureOf is what is stored of the kind of an error.
func failureOf(err error) string {
	var refusal egress.Refusal
	var token noToken
	switch {
	case errors.As(err, &refusal):
		return refusedPrefix + refusal.Reason()
	case errors.As(err, &token):
		return failedToken
	}
	return string(egress.KindOf(err))
}

// kind is the attempt's error in a word as it is stored; nil when it was received.
func (r response) kind() *string {
	kind := r.failure
	switch {
	case r.received():
		return nil
	case kind != "":
	case r.status >= 300 && r.status < 400:
		kind = failedRedirect
	default:
		kind = failedStatus
	}
	return &kind
}
