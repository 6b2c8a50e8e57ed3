package destination

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
)

// longSecret is the length from which a secret is also found within words. Shorter ones are
// found only as whole words: "1" is in most answers.
const longSecret = 8

// echoes finds a destination's own secrets in its answers, which are stored and shown to
// viewers. It recognises characters as they are and as encoded in URLs, JSON and HTML.
type echoes struct {
	byFirst [256][]needle // longest first, so that the longest match wins
}

// needle is one form of a secret.
type needle struct {
	text   string
	odd    bool // it contains characters that start an encoding
	folds  bool // case-insensitive: it is hexadecimal
	before bool // the base64 characters next to it hold bits of it
	after  bool
}

// newEchoes prepares the search for texts.
func newEchoes(texts []string) *echoes {
	e := &echoes{}
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		if text == "" {
			continue
		}
		for _, n := range formsOf(text) {
			e.byFirst[n.text[0]] = append(e.byFirst[n.text[0]], n)
			if upper := strings.ToUpper(n.text[:1])[0]; n.folds && upper != n.text[0] {
				e.byFirst[upper] = append(e.byFirst[upper], n)
			}
		}
	}
	for _, list := range e.byFirst {
		slices.SortStableFunc(list, func(a, b needle) int { return len(b.text) - len(a.text) })
	}
	return e
}

// formsOf returns a text as it is, in hexadecimal, and in base64 at each alignment.
func formsOf(text string) []needle {
	forms := []needle{{text: text, odd: strings.ContainsAny(text, marks)}}
	if len(text) < longSecret {
		return forms
	}
	forms = append(forms, needle{text: hex.EncodeToString([]byte(text)), folds: true})
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for skip := range 3 {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", skip) + text))
			from, to := (skip*8+5)/6, (skip+len(text))*8/6
			n := needle{text: encoded[from:to], before: skip > 0, after: (skip+len(text))%3 != 0}
			if !slices.Contains(forms, n) {
				forms = append(forms, n)
			}
		}
	}
	return forms
}

// shortHeader is the length below which a header's value does not count as a secret.
const shortHeader = 6

// secretTexts returns the texts that must be hidden in the destination's answers.
func (d *Destination) secretTexts() []string {
	texts := []string{d.auth.Password, d.auth.Token, d.auth.ClientSecret}
	if d.auth.kind() == authBasic {
		both := d.auth.Username + ":" + d.auth.Password
		texts = append(texts, both, base64.StdEncoding.EncodeToString([]byte(both)))
	}
	for name, value := range d.headers {
		if strings.EqualFold(name, "Authorization") {
			texts = append(texts, withoutScheme(value))
		}
		if len(value) >= shortHeader {
			texts = append(texts, value)
		}
	}
	for _, s := range d.secrets {
		texts = append(texts, s.Reveal(), strings.TrimPrefix(s.Reveal(), standardwebhooks.SecretPrefix))
	}
	return texts
}

// withoutScheme returns the credential in an Authorization header.
func withoutScheme(value string) string {
	if _, credential, ok := strings.Cut(value, " "); ok {
		return strings.TrimSpace(credential)
	}
	return value
}

// Hide replaces the destination's secrets, and the access token that was sent, in a text.
func (d *Destination) Hide(text, authorization string) string {
	if text == "" || d.echoes == nil {
		return text
	}
	text = d.echoes().hide(text)
	if d.auth.kind() == authOAuth && authorization != "" {
		text = newEchoes([]string{authorization, withoutScheme(authorization)}).hide(text)
	}
	return text
}

// sameSecrets reports whether the destination's sealed columns are unchanged.
func (d *Destination) sameSecrets(before *Destination) bool {
	same := func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
	return d.SigningSecret == before.SigningSecret && same(d.OldSecret, before.OldSecret) &&
		same(d.SealedHeaders, before.SealedHeaders) && same(d.SealedAuth, before.SealedAuth)
}

// findEchoes prepares the search for the destination's secrets when it is first needed, once
// per version.
func (d *Destination) findEchoes(before *Destination) {
	if d.echoes = before.echoes; d.echoes != nil && d.sameSecrets(before) {
		return
	}
	texts := d.secretTexts()
	d.echoes = sync.OnceValue(func() *echoes { return newEchoes(texts) })
}

func (e *echoes) hide(text string) string {
	var out strings.Builder
	done := 0
	for at := 0; at < len(text); {
		from, to, found := e.match(text, at)
		if !found {
			at++
			continue
		}
		out.WriteString(text[done:max(done, from)])
		out.WriteString(secret.Redacted)
		at, done = to, to
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// match finds a secret that begins at a position. A secret cut off by the end of the text
// counts: stored answers are truncated.
func (e *echoes) match(text string, at int) (from, to int, found bool) {
	for _, n := range e.byFirst[text[at]] {
		if end, whole := n.find(text, at); n.counts(text, at, end, whole) {
			from, to = n.around(text, at, end)
			return from, to, true
		}
	}
	if strings.IndexByte(marks, text[at]) < 0 {
		return 0, 0, false
	}
	for w := range writings {
		char, size := w.read(text[at:])
		if size == 0 {
			continue
		}
		for _, n := range e.byFirst[char[0]] {
			if end, whole := n.findIn(w, text, at); n.counts(text, at, end, whole) {
				from, to = n.around(text, at, end)
				return from, to, true
			}
		}
	}
	return 0, 0, false
}

// counts reports whether a match is the secret.
func (n needle) counts(text string, at, end int, whole bool) bool {
	if !whole && (end < len(text) || end-at < longSecret/2) {
		return false
	}
	return len(n.text) >= longSecret || !wordBefore(text, at) && !wordAfter(text, end)
}

// around extends a base64 match by the neighbouring characters that hold bits of it.
func (n needle) around(text string, from, to int) (int, int) {
	if n.before && from > 0 && base64Char(text[from-1]) {
		from--
	}
	if n.after && to < len(text) && base64Char(text[to]) {
		to++
	}
	return from, to
}

// find matches n at a position. end is the end of the match, or of a text that ends within it.
func (n needle) find(text string, at int) (end int, whole bool) {
	end = at
	for i := range len(n.text) {
		switch {
		case end == len(text):
			return end, false
		case text[end] == n.text[i] || n.folds && lower(text[end]) == n.text[i]:
			end++
			continue
		case !n.odd && strings.IndexByte(marks, text[end]) < 0:
			return end, false
		}
		for w := range writings {
			if end, whole = n.findIn(w, text, at); whole || end == len(text) {
				return end, whole
			}
		}
		return at, false
	}
	return end, true
}

// findIn is find for text in one encoding, which also encodes its own escape characters.
func (n needle) findIn(w writing, text string, at int) (end int, whole bool) {
	for i := 0; i < len(n.text); {
		if at == len(text) {
			return at, false
		}
		char, size := w.read(text[at:])
		switch {
		case size > 0 && strings.HasPrefix(n.text[i:], char):
			i, at = i+len(char), at+size
		case size == 0 && w.broken(text[at:]):
			return len(text), false
		case size == 0 && (text[at] == n.text[i] || n.folds && lower(text[at]) == n.text[i]):
			i, at = i+1, at+1
		default:
			return at, false
		}
	}
	return at, true
}

func base64Char(c byte) bool { return wordChar(c) || strings.IndexByte("+/-", c) >= 0 }

func wordChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
}

func wordBefore(text string, at int) bool { return at > 0 && wordChar(text[at-1]) }
func wordAfter(text string, at int) bool  { return at < len(text) && wordChar(text[at]) }
