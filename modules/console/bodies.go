package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"integration-gateway/platform/fault"
)

func receivedOf(href string, w *webhook) document {
	switch {
	case w == nil:
		return document{Missing: "The webhook is no longer kept: retention removed it."}
	case w.BodyState == "erased":
		return document{Missing: "The body was erased."}
	}
	return documentOf(href, decoded(w.RawBody))
}

func canonicalOf(href string, e event) document {
	if e.ErasedAt != nil || len(e.Payload) == 0 || string(e.Payload) == "null" {
		return document{Missing: "The event was erased."}
	}
	return documentOf(href, e.Payload)
}

// body answers with a body as a file, or with a part of its text for people.
func (m *Module) body(v *visit) error {
	var d details
	if _, err := v.get("/events/"+url.PathEscape(v.c.Param("id")), nil, &d); err != nil {
		return err
	}
	of := v.param("of")
	raw, name, found := d.bytesOf(of)
	if !found {
		return fault.NotFound.New("no_body", "This event has no such body.")
	}
	h := v.c.Response().Header()
	if v.param("offset") != "" {
		offset, err := strconv.Atoi(v.param("offset"))
		text, _, _ := readable(raw)
		if err != nil || offset < 0 || offset > len(text) {
			return fault.Invalid.New("bad_offset", "offset must be a whole number within the text.")
		}
		part := cut(text, offset)
		if next := offset + len(part); next < len(text) {
			h.Set("X-Next-Offset", strconv.Itoa(next))
		}
		return v.c.Blob(http.StatusOK, "text/plain; charset=utf-8", []byte(part))
	}
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return v.c.Blob(http.StatusOK, "application/octet-stream", raw)
}

// bytesOf returns a body of the event: received, canonical, or answer with an attempt's id.
func (d details) bytesOf(of string) (raw []byte, name string, found bool) {
	kind, attemptID, _ := strings.Cut(of, ".")
	switch kind {
	case "received":
		if d.Webhook == nil || d.Webhook.BodyState == "erased" {
			return nil, "", false
		}
		return decoded(d.Webhook.RawBody), "received-" + d.Event.ID, true
	case "canonical":
		return d.Event.Payload, "canonical-" + d.Event.ID + ".json", len(d.Event.Payload) > 0 && d.Event.ErasedAt == nil
	case "answer":
		for _, a := range d.Attempts {
			if a.ID == attemptID && a.Answer != nil {
				return []byte(*a.Answer), "answer-" + a.ID, true
			}
		}
	}
	return nil, "", false
}
