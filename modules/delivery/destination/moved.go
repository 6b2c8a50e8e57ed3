package destination

import (
	"net/url"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// origin returns a URL's scheme, host and port, without parts that may be secret.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

// checkMoved requires credentials again when a destination moves to another host: otherwise
// whoever changes the URL could read the write-only headers and credentials that are sent with
// each request. The TLS key and signing secret are never sent.
func checkMoved(before, after *Destination, c contract.DestinationConfig, wrong *violations) {
	if before.URL == "" || origin(before.URL) == origin(after.URL) {
		return
	}
	const why = "because the url moves from %s to %s, where it would be sent"
	if before.auth.kind() != authNone && c.Auth == nil {
		wrong.add("auth", `must be given again, or removed with {"type":"none"}, `+why, origin(before.URL), origin(after.URL))
	}
	if len(before.headers) > 0 && c.Headers == nil {
		wrong.add("headers", "must be given again, or removed with {}, "+why, origin(before.URL), origin(after.URL))
	}
}

// moved adds a destination's old and new host to audit details, without path and query, which
// may hold a credential.
func moved(before, after *Destination, details map[string]any) map[string]any {
	if from, to := origin(before.URL), origin(after.URL); from != to {
		details["hostBefore"], details["hostAfter"] = from, to
	}
	if from, to := origin(before.auth.TokenURL), origin(after.auth.TokenURL); from != to {
		details["tokenHostBefore"], details["tokenHostAfter"] = httpapi.OrNull(from), httpapi.OrNull(to)
	}
	return details
}
