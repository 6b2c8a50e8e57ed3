package ingestion

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/secret"
)

// telling are parts of header names under which credentials travel.
var telling = []string{
	"authorization", "cookie", "api-key", "apikey", "token", "secret", "password", "credential", "access-key", "session",
}

// innocent are header names that look like it and are not: providers' own ids.
var innocent = []string{"i-twilio-idempotency-token"}

// shortestSecret is how long a secret must be for its appearance within a longer
// value to be no accident.
const shortestSecret = 8

// storedHeaders gives the headers as the JSON object that is kept: names in lower case,
// all values, and secret.Redacted in place of whatever is or holds a credential.
func storedHeaders(h http.Header, src *source) []byte {
	return headersWithout(h, src, func(string) bool { return false })
}

// redactedHeaders leaves out, too, what holds a text that was redacted in the body; every
// value where these are too many to look for.
func redactedHeaders(h http.Header, src *source, clean provider.Redacted) []byte {
	return headersWithout(h, src, func(value string) bool {
		return clean.Overflow || slices.ContainsFunc(clean.Hidden, func(text string) bool { return holds(value, text) })
	})
}

func headersWithout(h http.Header, src *source, hidden func(value string) bool) []byte {
	kept := make(map[string][]string, len(h))
	for name, values := range h {
		name = strings.ToLower(name)
		whole := carriesCredential(name, src)
		for _, v := range values {
			if whole || holdsSecret(v, src) || hidden(v) {
				v = secret.Redacted
			}
			kept[name] = append(kept[name], v)
		}
	}
	text, _ := json.Marshal(kept) // strings always marshal
	return text
}

// headerDigests gives, as a JSON object, what digest makes of the values that storedHeaders
// leaves out, by header and in order: enough to find out later whether one is a secret
// that is known then.
func headerDigests(h http.Header, src *source, digest func(string) string) []byte {
	kept := map[string][]string{}
	for name, values := range h {
		name = strings.ToLower(name)
		whole := carriesCredential(name, src)
		for _, v := range values {
			if whole || holdsSecret(v, src) {
				kept[name] = append(kept[name], digest(v))
			}
		}
	}
	text, _ := json.Marshal(kept) // strings always marshal
	return text
}

func carriesCredential(name string, src *source) bool {
	if slices.ContainsFunc(src.spec.Sensitive, func(s string) bool { return strings.EqualFold(s, name) }) {
		return true
	}
	return !slices.Contains(innocent, name) &&
		slices.ContainsFunc(telling, func(part string) bool { return strings.Contains(name, part) })
}

func holdsSecret(value string, src *source) bool {
	if slices.ContainsFunc(src.own, func(own secret.Value) bool { return holds(value, own.Reveal()) }) {
		return true
	}
	return !src.spec.Public && slices.ContainsFunc(src.secrets, func(s provider.Secret) bool { return holds(value, s.Value.Reveal()) })
}

func holds(value, text string) bool {
	return text != "" && value == text || len(text) >= shortestSecret && strings.Contains(value, text)
}
