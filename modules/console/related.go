package console

import (
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/id"
)

// related are other events that may have to do with one.
type related struct {
	Correlation, Subject []event
}

// load finds the events with the same correlation id, and those about the same subject.
func (r *related) load(v *visit, e event) error {
	var parts []reading
	if e.Correlation != "" {
		parts = append(parts, v.into("/events", url.Values{"correlationId": {e.Correlation}, "pageSize": {"20"}}, &r.Correlation))
	}
	if e.Subject != nil && *e.Subject != "" {
		parts = append(parts, v.into("/events", url.Values{"exactSubject": {*e.Subject}, "source": {e.Source}, "pageSize": {"20"}}, &r.Subject))
	}
	err := v.together(parts...)
	own := func(other event) bool { return other.ID == e.ID }
	r.Correlation, r.Subject = slices.DeleteFunc(r.Correlation, own), slices.DeleteFunc(r.Subject, own)
	return err
}

// headersOf sorts headers by name.
func headersOf(all map[string]string) []header {
	var list []header
	for name, value := range all {
		list = append(list, header{name, value})
	}
	slices.SortFunc(list, func(a, b header) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// maxCurl is the longest body that a command line takes.
const maxCurl = 8 << 10

// curlOf is a request as a command for a shell; "" if its body is too long or is no text.
func curlOf(address string, headers []header, body []byte) string {
	if _, _, binary := readable(body); binary || len(body) > maxCurl {
		return ""
	}
	command := []string{"curl -i " + quoted(address)}
	for _, h := range headers {
		if !slices.Contains([]string{"host", "content-length", "connection", "accept-encoding"}, strings.ToLower(h.Name)) {
			command = append(command, "-H "+quoted(h.Name+": "+h.Value))
		}
	}
	return strings.Join(append(command, "--data-binary "+quoted(string(body))), " \\\n  ")
}

// quoted is a text as a shell reads it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// valid reports whether a path's parameter is an id.
func valid(text string) bool { return id.Valid(strings.ToLower(text)) }
