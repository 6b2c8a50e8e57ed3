package ingestion

import (
	"regexp"
	"strings"
)

// alwaysCredential holds the standard headers for credentials.
var alwaysCredential = map[string]bool{"authorization": true, "proxy-authorization": true, "cookie": true, "set-cookie": true}

// Words in the names of headers that carry credentials, and parts of words, as in
// "x-authtoken".
var (
	credentialWords = wordSet("auth authentication authorization authenticate oauth oauth2 basic bearer jwt jws jwe sso saml oidc assertion " +
		"pass passwd passphrase passcode password pwd pw pin otp totp mfa tan psk csrf xsrf sid cookie cookies login credential credentials cred creds " +
		"ticket private sas accesskey secretkey sessionid")
	credentialParts = []string{
		"authoriz", "cookie", "apikey", "authtoken", "token", "secret", "password", "passwd", "credential", "accesskey", "privatekey", "session", "oauth",
	}
	// A "key" after one of these words is an id and no credential.
	idKeys = wordSet("idempotency routing partition surrogate cache dedup deduplication event message sort object group ordering correlation")
)

// Words in the names of headers whose values are random but no credentials.
var plainWords = wordSet("id ids uuid guid signature signatures signed sig hmac hash digest checksum sha1 sha256 sha512 md5 etag trace traceparent tracestate " +
	"traceid spanid span request correlation delivery timestamp nonce ray agent host")

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(text) {
		set[word] = true
	}
	return set
}

func words(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
}

// credentialName reports whether a header's name, in lower case, suggests a credential.
func credentialName(name string) bool {
	before := ""
	for _, word := range words(name) {
		key := (word == "key" || word == "keys") && !idKeys[before]
		if key || credentialWords[word] {
			return true
		}
		for _, part := range credentialParts {
			if strings.Contains(word, part) {
				return true
			}
		}
		before = word
	}
	return false
}

// plainName reports whether a header's name says that its value is random but no credential.
func plainName(name string) bool {
	for _, word := range words(name) {
		if plainWords[word] {
			return true
		}
	}
	return false
}

// shortestToken is the length from which a text may be a token: 20 random characters hold
// about 80 bits.
const shortestToken = 20

var (
	tokenRun = regexp.MustCompile(`[A-Za-z0-9+/_=~-]{20,}`)
	uuidRun  = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// looksLikeToken reports whether a value holds a long text that looks random. In a random
// text, lower case, capitals and digits alternate; in words, paths, versions and times they
// form runs. A UUID counts as an id.
func looksLikeToken(value string) bool {
	if len(value) < shortestToken {
		return false
	}
	for _, run := range tokenRun.FindAllString(uuidRun.ReplaceAllString(value, " "), -1) {
		changes, pairs, digits := 0, 0, 0
		for i := range len(run) {
			kind := kindOf(run[i])
			if kind == digit {
				digits++
			}
			if i == 0 || kind == other || kindOf(run[i-1]) == other {
				continue
			}
			pairs++
			if before := kindOf(run[i-1]); kind != before && (before != capital || kind != small) { // a word may begin so
				changes++
			}
		}
		if pairs >= shortestToken*3/4 && digits >= 2 && 6*changes >= pairs {
			return true
		}
	}
	return false
}

// The kinds of characters.
const (
	other = iota
	small
	capital
	digit
)

func kindOf(c byte) int {
	switch {
	case c >= 'a' && c <= 'z':
		return small
	case c >= 'A' && c <= 'Z':
		return capital
	case c >= '0' && c <= '9':
		return digit
	}
	return other
}
