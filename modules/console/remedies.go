package console

import "slices"

// remedy says what a refusal means and what would mend it.
type remedy struct{ Means, Mend string }

var remedies = map[string]remedy{
	"no_match":            {"None of the source's secrets made the signature that the request carries.", "Compare the secret at the provider with the source's: after a rotation there, add the new one here, then release what waits. If somebody guesses, there is nothing to mend."},
	"missing_header":      {"The header that proves who sent the request is missing.", "Check that the provider signs: a secret must be entered there. A proxy in front may also drop the header."},
	"duplicate_header":    {"The header that proves who sent the request is there more than once.", "Look for a proxy in front that adds it. The provider sends it once."},
	"missing_signature":   {"The body has no signature where the provider puts it.", "Check that the address belongs to this provider, and that it signs."},
	"malformed_signature": {"The signature has another form than this provider's.", "Check that the source has the right provider: another provider's webhooks may have been sent here."},
	"outside_tolerance":   {"The signed time is too far from the time of receipt.", "If the clocks are right, the request was held up or is an old copy. The source's option toleranceSeconds widens the window; releasing compares with the time of receipt."},
	"unknown_key":         {"It was signed with a key that is not the provider's.", "Check the certificate's address or key id in the headers. If the provider has new keys, they are fetched by themselves."},
	"used_before":         {"A value that is good for one use came again, with another body.", "Nothing, as a rule: somebody repeats an old request with another body."},
	"wrong_certificate":   {"The client's TLS certificate is not one that the source or its provider's definition names, or it showed none.", "Compare the certificate in the detail with the provider's: after a renewal add the new one, then have the provider send again. If a proxy ends TLS, check that it is trusted and reports certificates in CLIENT_CERT_HEADER."},
	"wrong_address":       {"It came from a network that the provider's definition does not list.", "If the provider has new networks, add them to addresses in the definition, then release what waits. If a proxy is in front, it must be among the trusted ones, or its own address counts."},
	"source_disabled":     {"It was verified, but came while the source was disabled.", "Enable the source, then release what waits. What is not released in time is removed with the rest of the quarantine."},
	"duplicate_keys":      {"A member stands twice in the body: some parsers read the first, others the last.", "Ask the provider why it sends that. Releasing stores it with a mark; to do so always, set the source's option duplicateKeys to mark."},
	"schema_mismatch":     {"An event does not fit the JSON Schema that the source has for its type.", "Compare the place in the body with the schema in the source's option schemas. If the provider sends something new, change the schema; releasing stores it with a mark in either case."},
	"possible_replay":     {"The same signed message was received before under another id.", "If the provider really sends equal messages, set the source's option possibleReplays to mark."},
}

func remedyOf(reason string) remedy {
	if r, known := remedies[reason]; known {
		return r
	}
	return remedy{"It was verified, but could not be read as an event of this provider.",
		"Look at the body: a field may be missing, or the mapping of an own provider may name another one. After mending it, release what waits."}
}

// check is one step of verifying a request.
type check struct{ Kind, Text, Detail string }

// checkStep is a check with the reasons by which it fails; nil for all others.
type checkStep struct {
	text    string
	reasons []string
}

// order of the checks, each with the reasons by which it fails.
var checks = []checkStep{
	{"The proof is there, once", []string{"missing_header", "duplicate_header", "missing_signature"}},
	{"The proof can be read", []string{"malformed_signature", "unknown_key"}},
	{"The signed time is near the time of receipt", []string{"outside_tolerance"}},
	{"A secret of the source made the signature", []string{"no_match", "wrong_address", "wrong_certificate"}},
	{"The source is active", []string{"source_disabled"}},
	{"It was not seen before", []string{"used_before", "possible_replay"}},
	{"No member of the body stands twice", []string{"duplicate_keys"}},
	{"The body is an event of the provider", nil},
	{"The event fits its schema", []string{"schema_mismatch"}},
}

// checksOf are the steps up to the one that failed; the rest was not reached.
func checksOf(reason, detail string) []check {
	failed := slices.IndexFunc(checks, func(c checkStep) bool { return c.reasons == nil })
	for i, c := range checks {
		for _, r := range c.reasons {
			if r == reason {
				failed = i
			}
		}
	}
	var list []check
	for i, c := range checks {
		switch {
		case i < failed:
			list = append(list, check{"good", c.text, ""})
		case i == failed:
			list = append(list, check{"bad", c.text, detail})
		default:
			list = append(list, check{"off", c.text, "not reached"})
		}
	}
	return list
}
