package provider

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Deduplication says which requests bring the same event again. The zero value is by id, or
// by the body's hash for an event without one, for ever.
type Deduplication struct {
	By     string   `json:"by,omitempty"`     // id, places, body or none; "" for id
	Places []string `json:"places,omitempty"` // whose values together identify an event
	// WindowSeconds is for how long the same body is the same event; 0 for ever.
	WindowSeconds int `json:"windowSeconds,omitempty"`
}

// What may identify an event.
const (
	ByID     = "id"     // its id; without one the hash of its body
	ByPlaces = "places" // the chosen places; where all are empty as by id
	ByBody   = "body"   // the hash of its body, within a window
	ByNone   = "none"   // nothing: every request is a new event
)

const (
	maxPlaces = 16
	maxWindow = 30 * 24 * time.Hour
)

// Window returns for how long the same body is the same event; 0 for ever.
func (d Deduplication) Window() time.Duration { return time.Duration(d.WindowSeconds) * time.Second }

// deduplicate applies a policy to the spec. Its errors name the field below at.
func (s Spec) deduplicate(d Deduplication, at string) (Spec, error) {
	r := &reading{at: at}
	switch {
	case !slices.Contains([]string{"", ByID, ByPlaces, ByBody, ByNone}, d.By):
		r.wrong("by", "%q is unknown; write one of id, places, body, none.", d.By)
	case d.By == ByPlaces && len(d.Places) == 0:
		r.wrong("places", "It is required: the places that identify an event, such as $.data.id or header:X-Event-Id.")
	case d.By != ByPlaces && len(d.Places) > 0:
		r.wrong("places", `Only "by": "places" takes places.`)
	case len(d.Places) > maxPlaces:
		r.wrong("places", "It may list at most %d places.", maxPlaces)
	case d.WindowSeconds < 0 || d.Window() > maxWindow:
		r.wrong("windowSeconds", "It must be from 1 to %d, or 0, which is for ever.", int(maxWindow.Seconds()))
	case d.By == ByBody && d.WindowSeconds == 0:
		r.wrong("windowSeconds", "It is required: for how many seconds the same body is the same event.")
	case d.By == ByNone && s.nonce:
		r.wrong("by", "A nonce is used once, so a request that comes again is the same event; choose id, places or body.")
	case d.By == ByNone && d.WindowSeconds > 0:
		r.wrong("windowSeconds", `Nothing is compared with "by": "none".`)
	case d.By == ByPlaces && s.Events.Type.find == nil:
		r.wrong("by", "Every event of %s has an id; choose id, body or none.", s.Title)
	}
	if d.By == ByPlaces && r.err == nil {
		var several []finder
		for i, place := range d.Places {
			if strings.HasPrefix(place, "text:") {
				r.wrong(fmt.Sprintf("places[%d]", i), "A constant identifies nothing.")
			}
			several = append(several, r.finder(fmt.Sprintf("places[%d]", i), At(place), true))
		}
		if r.err == nil {
			s.Events.Identity = together(several...)
			s.Normalize = s.Events.normalizer(s.Name)
		}
	} else if d.By != "" {
		s.Events.Identity = finder{}
		if s.Events.Type.find != nil {
			s.Normalize = s.Events.normalizer(s.Name)
		}
	}
	if r.err != nil {
		return Spec{}, r.err
	}
	s.Deduplication = d
	return s, nil
}

// together finds the texts of several places, told apart; nothing if all are empty. What it
// finds is for comparing only.
func together(several ...finder) finder {
	return finder{where: places(" with ", several), headers: headersOf(several), unsigned: unsignedOf(several), find: func(in input) token {
		var raw []byte
		found := false
		for _, f := range several {
			t := f.find(in)
			found = found || t.text != ""
			raw = append(append(raw, t.raw...), ',') // a JSON string ends where it ends
		}
		if !found {
			return token{}
		}
		return token{raw: raw, text: string(raw)}
	}}
}

// when is f for bodies in which condition finds anything.
func when(condition, f finder) finder {
	return finder{where: f.where, headers: f.headers, unsigned: f.unsigned, find: func(in input) token {
		if condition.in(in).text == "" {
			return token{}
		}
		return f.in(in)
	}}
}

// deduplicationHelp describes the option.
func (s Spec) deduplicationHelp() OptionHelp {
	help := `Which requests bring the same event again: {"by": "id"}, {"by": "places", "places": ["$.a", "header:X-B"]}, ` +
		`{"by": "body", "windowSeconds": 300} or {"by": "none"}.`
	switch d := s.Deduplication; {
	case s.Events.Identity.where != "":
		help += " The default is by " + s.Events.Identity.where + "."
	case d.WindowSeconds > 0:
		help += fmt.Sprintf(" The default is by id; without one the same body is the same event for %d seconds.", d.WindowSeconds)
	}
	return OptionHelp{"deduplication", help}
}
