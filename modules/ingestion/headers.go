package ingestion

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// shortestSecret is the length from which a secret inside a longer value is no coincidence.
const shortestSecret = 8

// storedHeaders returns the headers as the JSON object that is stored: lower-case names, all
// values, and secret.Redacted in place of values that are or hold a credential.
func storedHeaders(h http.Header, src *source) []byte {
	return headersWithout(h, src, func(string) bool { return false })
}

// redactedHeaders also redacts values that hold a text redacted in the body, or every value
// if these texts are too many to search for.
func redactedHeaders(h http.Header, src *source, clean provider.Redacted) []byte {
	return headersWithout(h, src, func(value string) bool {
		return clean.Overflow || slices.ContainsFunc(clean.Hidden, func(text string) bool { return holds(value, text) })
	})
}

func headersWithout(h http.Header, src *source, hidden func(value string) bool) []byte {
	kept := make(map[string][]string, len(h))
	for name, values := range h {
		name = strings.ToLower(name)
		for _, v := range values {
			if carriesCredential(name, v, src) || holdsSecret(v, src) || hidden(v) {
				v = secret.Redacted
			}
			kept[name] = append(kept[name], v)
		}
	}
	text, _ := json.Marshal(kept) // strings always marshal
	return text
}

// headerDigests returns, as a JSON object, the digests of the values that storedHeaders
// redacts, by header and in order. They show later whether a value is a known secret.
func headerDigests(h http.Header, src *source, digest func(string) string) []byte {
	kept := map[string][]string{}
	for name, values := range h {
		name = strings.ToLower(name)
		for _, v := range values {
			if carriesCredential(name, v, src) || holdsSecret(v, src) {
				kept[name] = append(kept[name], digest(v))
			}
		}
	}
	text, _ := json.Marshal(kept) // strings always marshal
	return text
}

// carriesCredential reports whether a header is named like a credential or has a value that
// looks like one. name is in lower case. Headers that the provider is known to send, such as
// signatures and ids, are no credentials.
func carriesCredential(name, value string, src *source) bool {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	switch {
	case slices.ContainsFunc(src.Spec.Sensitive, same) || alwaysCredential[name]:
		return true
	case slices.ContainsFunc(src.SafeHeaders, same):
		return false
	}
	return credentialName(name) || !plainName(name) && looksLikeToken(value)
}

func holdsSecret(value string, src *source) bool {
	if slices.ContainsFunc(src.ownSecrets, func(own secret.Value) bool { return holds(value, own.Reveal()) }) {
		return true
	}
	return !src.Spec.Public && slices.ContainsFunc(src.Secrets, func(s provider.Secret) bool { return holds(value, s.Value.Reveal()) })
}

func holds(value, text string) bool {
	return text != "" && value == text || len(text) >= shortestSecret && strings.Contains(value, text)
}

// maxHops is how many gateways a webhook may pass through: enough for regional, central and
// team gateways. A destination that leads back to its own source would otherwise turn every
// delivery into a new event, endlessly.
const maxHops = 5

// hopsOf reads how many gateways a webhook passed through. If a proxy has repeated the
// header, the highest value counts. The header proves nothing and needs no signature.
func hopsOf(header http.Header) (int, error) {
	most := 0
	for _, value := range header.Values(contract.HopsHeader) {
		hops, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16)
		if err != nil {
			return 0, fault.Invalid.New("malformed_hops", "The header %s must be a number. Omit it: only gateways set it.",
				contract.HopsHeader).At(contract.HopsHeader)
		}
		most = max(most, int(hops))
	}
	if most >= maxHops {
		return 0, fault.Invalid.New("too_many_hops", "The webhook passed through %d gateways, and at most %d are allowed. A destination leads back to a source: point it elsewhere.",
			most, maxHops-1).At(contract.HopsHeader)
	}
	return most, nil
}
