package ingestion

import (
	"encoding/json"
	"errors"
	"fmt"
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
func storedHeaders(h http.Header, src *source, verified bool) []byte {
	return headersWithout(h, src, verified, func(string) bool { return false })
}

// redactedHeaders also redacts values that hold a text redacted in the body, or every value
// if these texts are too many to search for.
func redactedHeaders(h http.Header, src *source, verified bool, clean provider.Redacted) []byte {
	return headersWithout(h, src, verified, func(value string) bool {
		return clean.Overflow || slices.ContainsFunc(clean.Hidden, func(text string) bool { return holds(value, text) })
	})
}

func headersWithout(h http.Header, src *source, verified bool, hidden func(value string) bool) []byte {
	kept := make(map[string][]string, len(h))
	for name, values := range h {
		name = strings.ToLower(name)
		for _, v := range values {
			if carriesCredential(name, v, src, verified) || holdsSecret(v, src) || hidden(v) {
				v = secret.Redacted
			}
			kept[name] = append(kept[name], v)
		}
	}
	text, _ := json.Marshal(kept) // strings always marshal
	return text
}

// sealedPrefix begins what is kept of a value that can be read again.
const sealedPrefix = "sealed "

// digests returns, as a JSON object, what is kept of the values that storedHeaders and
// storedURL leave out, by header and in order, by ? and the parameter, or by / and the segment: a digest, which
// shows later whether the value is a known secret; or, of a signature, the sealed text.
func (q quarantined) digests(req provider.Request, src *source, d Digester) []byte {
	kept := map[string][]string{}
	for name, values := range req.Header {
		name = strings.ToLower(name)
		for _, v := range values {
			if !carriesCredential(name, v, src, false) && !holdsSecret(v, src) {
				continue
			}
			text := d.Digest(v)
			if src.signs(name) && !holdsSecret(v, src) {
				if sealed, err := d.Seal(q.sealedAt(), secret.New(v)); err == nil {
					text = sealedPrefix + sealed
				}
			}
			kept[name] = append(kept[name], text)
		}
	}
	for _, name := range src.Spec.QueryTokens {
		if token, ok := provider.QueryToken(req.URL, name); ok {
			kept["?"+name] = []string{d.Digest(token)}
		}
	}
	for _, n := range src.Spec.Segments.Tokens {
		if n <= len(req.Path) && req.Path[n-1] != "" {
			kept[segmentKey(n)] = []string{d.Digest(req.Path[n-1])}
		}
	}
	text, _ := json.Marshal(kept) // strings always marshal
	return text
}

// segmentKey is the key of a segment's digest: no header's name has a slash.
func segmentKey(n int) string { return "/" + strconv.Itoa(n) }

func (q quarantined) sealedAt() secret.Place {
	return secret.Place{Table: "quarantine", Column: "header_digests", Row: q.ID}
}

// signs reports whether a header holds signatures and no token. name is in lower case.
func (s *source) signs(name string) bool {
	same := func(other string) bool { return strings.EqualFold(other, name) }
	return slices.ContainsFunc(s.Spec.Headers(), same) && !slices.ContainsFunc(s.Spec.Sensitive, same)
}

// carriesCredential reports whether a header is named like a credential or has a value that
// looks like one. name is in lower case. Headers that the provider is known to send, such as
// signatures and ids, are no credentials; nor is a verified signature in a header for
// credentials, unless another proof may have been the one that verified.
func carriesCredential(name, value string, src *source, verified bool) bool {
	same := func(s string) bool { return strings.EqualFold(s, name) }
	switch {
	case slices.ContainsFunc(src.Spec.Sensitive, same) || alwaysCredential[name] && (!verified || !src.signs(name) || src.Spec.Several()):
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

// request rebuilds the received request. A redacted credential is restored if it is one of
// the source's current secrets, and a signature that was sealed if its key is still there.
func (q quarantined) request(src *source, d Digester) (provider.Request, error) {
	req := provider.Request{Method: q.Method, URL: q.URL, Header: http.Header{}, Body: q.Body, ReceivedAt: q.ReceivedAt.Time, Client: addressOf(q.SourceIP)}
	var headers, digests map[string][]string
	if err := json.Unmarshal([]byte(q.Headers), &headers); err != nil {
		return req, fmt.Errorf("read the headers: %w", err)
	}
	if err := json.Unmarshal([]byte(q.Digests), &digests); err != nil {
		return req, fmt.Errorf("read the headers' digests: %w", err)
	}
	for name, values := range headers {
		left := digests[name]
		for _, value := range values {
			if value == secret.Redacted && len(left) > 0 {
				value, left = q.restored(src, name, left[0], d), left[1:]
			}
			req.Header.Add(name, value)
		}
	}
	for _, name := range src.Spec.QueryTokens {
		if want := digests["?"+name]; len(want) == 1 {
			if token := src.credential("", want[0], d.Matches); token != secret.Redacted {
				req.URL = provider.WithQuery(req.URL, name, token)
			}
		}
	}
	for _, n := range src.Spec.Segments.Tokens {
		if want := digests[segmentKey(n)]; len(want) == 1 {
			if token := src.credential("", want[0], d.Matches); token != secret.Redacted {
				req.URL = provider.WithSegment(req.URL, n, token)
			}
		}
	}
	req.Path = provider.PathOf(req.URL)
	return req, nil
}

// restored returns a value of a header by what was kept of it; secret.Redacted if it cannot be
// known.
func (q quarantined) restored(src *source, header, kept string, d Digester) string {
	sealed, is := strings.CutPrefix(kept, sealedPrefix)
	if !is {
		return src.credential(header, kept, d.Matches)
	}
	value, err := d.Open(q.sealedAt(), sealed)
	if err != nil {
		return secret.Redacted
	}
	return value.Reveal()
}

// nothingKnown is for reading requests without their credentials.
type nothingKnown struct{}

func (nothingKnown) Digest(string) string { return "" }

func (nothingKnown) Matches(string, string) bool { return false }

func (nothingKnown) Seal(secret.Place, secret.Value) (string, error) { return "", errNothingKnown }

func (nothingKnown) Open(secret.Place, string) (secret.Value, error) {
	return secret.Value{}, errNothingKnown
}

var errNothingKnown = errors.New("no credentials are read here")

// credential returns the header value whose digest is want, if one of the secrets produces
// it; otherwise secret.Redacted.
func (s *source) credential(header, want string, matches func(text, digest string) bool) string {
	for _, one := range s.Secrets {
		shown := []string{one.Value.Reveal()}
		if signer, ok := s.Spec.Verify.(provider.Signer); ok {
			blank := provider.Request{Method: http.MethodPost, Header: http.Header{}}
			if signer.SignRequest(&blank, one.Value) == nil {
				shown = append(shown, blank.Header.Get(header))
			}
		}
		for _, value := range shown {
			if matches(value, want) {
				return value
			}
		}
	}
	return secret.Redacted
}
