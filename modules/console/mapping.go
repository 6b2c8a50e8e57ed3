package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"integration-gateway/platform/fault"
)

// mappingPage edits where a source of one's own has its events' fields, and shows what that would
// make of a stored event.
type mappingPage struct {
	integration
	Own    bool // the source has a mapping of its own; the others have their provider's
	Event  mappedFields
	Units  []string
	Events []event // the last ones, to try it on
	Tried  string  // the event that it was tried on
	Found  *mappingPreview
	Sample document // the body of that event, in which to look for the paths
}

// mappedFields are the places of an event's fields as they are typed: one place, or several as JSON.
type mappedFields struct{ ID, Type, Subject, Time, Unit, Items string }

// names are the fields by their names in the definition.
func (f *mappedFields) names() map[string]*string {
	return map[string]*string{"id": &f.ID, "type": &f.Type, "subject": &f.Subject, "time": &f.Time, "timeUnit": &f.Unit, "items": &f.Items}
}

// typedOf is a value of a definition as it is typed.
func typedOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// valueOf is what was typed as a value of a definition: several places are JSON, and so is true.
func valueOf(typed string) any {
	if strings.HasPrefix(typed, "[") || strings.HasPrefix(typed, "{") || typed == "true" {
		if json.Valid([]byte(typed)) {
			return json.RawMessage(typed)
		}
	}
	return typed
}

type mappingPreview struct {
	Stored  mappedEvent  `json:"stored"`
	Mapped  *mappedEvent `json:"mapped"`
	Changed bool         `json:"changed"`
	Problem *string      `json:"problem"`

	Diff []diffLine `json:"-"`
}

type mappedEvent struct {
	ID       *string         `json:"externalEventId"`
	Type     string          `json:"eventType"`
	Subject  *string         `json:"subject"`
	Occurred string          `json:"occurredAt"`
	Payload  json.RawMessage `json:"payload"`
}

// mappedRow is a field with what it is and would be.
type mappedRow struct{ Name, Before, After string }

// changed reports whether it would be another one.
func (r mappedRow) changed() bool { return r.Before != r.After }

// rows are the fields before and after.
func (p mappingPreview) rows() []mappedRow {
	text := func(t *string) string {
		if t == nil {
			return ""
		}
		return *t
	}
	a, b := p.Stored, *p.Mapped
	return []mappedRow{{"Id", text(a.ID), text(b.ID)}, {"Type", a.Type, b.Type}, {"Subject", text(a.Subject), text(b.Subject)}, {"Time", a.Occurred, b.Occurred}}
}

var timeUnits = []string{"rfc3339", "seconds", "milliseconds", "any"}

func (m *Module) mapping(v *visit) error { return v.showMapping(nil, nil, nil) }

// options are the options of an integration with another mapping. What the page does not know
// stays as it is.
func (in integration) options(fields mappedFields) (map[string]any, error) {
	var all map[string]any
	decoder := json.NewDecoder(bytes.NewReader(in.Options))
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil {
		return nil, err
	}
	own, is := all["generic"].(map[string]any)
	if !is {
		return nil, fault.Conflict.New("no_mapping", "This source has the mapping of its provider.")
	}
	event, _ := own["event"].(map[string]any)
	if event == nil {
		event = map[string]any{}
	}
	for name, typed := range fields.names() {
		if event[name] = valueOf(*typed); *typed == "" {
			delete(event, name)
		}
	}
	own["event"] = event
	return all, nil
}

// fieldsOf are the places in the options of an integration; false if it has none of its own.
func (in integration) fieldsOf() (f mappedFields, own bool) {
	var options struct {
		Generic *struct {
			Event map[string]json.RawMessage `json:"event"`
		} `json:"generic"`
	}
	if json.Unmarshal(in.Options, &options) != nil || options.Generic == nil {
		return f, false
	}
	for name, typed := range f.names() {
		if raw, is := options.Generic.Event[name]; is {
			*typed = typedOf(raw)
		}
	}
	return f, true
}

// mapped reports whether the source has a mapping of its own.
func (in integration) mapped() bool {
	_, own := in.fieldsOf()
	return own
}

// showMapping shows the mapping of now, or what was typed in its place, with what it would make of
// an event if it was tried.
func (v *visit) showMapping(typed *mappedFields, found *mappingPreview, wrong error) error {
	p := mappingPage{Units: timeUnits, Found: found, Tried: strings.TrimSpace(v.form.Get("event"))}
	if _, err := v.get("/integrations/"+url.PathEscape(v.c.Param("id")), nil, &p.integration); err != nil {
		return err
	}
	p.Event, p.Own = p.fieldsOf()
	if typed != nil {
		p.Event = *typed
	}
	if !p.Own {
		return v.showWith(http.StatusOK, "integration-mapping", "Mapping of "+p.Source, p, wrong)
	}
	if _, err := v.get("/events", url.Values{"source": {p.Source}, "pageSize": {"10"}}, &p.Events); err != nil {
		return err
	}
	if p.Tried == "" && len(p.Events) > 0 {
		p.Tried = p.Events[0].ID
	}
	if valid(p.Tried) {
		var d details
		if _, err := v.get("/events/"+p.Tried, nil, &d); err == nil {
			p.Sample = receivedOf("", d.Webhook)
		}
	}
	if found != nil && found.Mapped != nil && found.Changed {
		before, _, _ := readable(found.Stored.Payload)
		after, _, _ := readable(found.Mapped.Payload)
		if a, b := strings.Split(before, "\n"), strings.Split(after, "\n"); len(a) <= maxDiffLines && len(b) <= maxDiffLines {
			found.Diff = diff(a, b)
		}
	}
	return v.showWith(http.StatusOK, "integration-mapping", "Mapping of "+p.Source, p, wrong)
}

// changeMapping tries a mapping on a stored event, or stores it.
func (m *Module) changeMapping(v *visit) error {
	var typed mappedFields
	for name, value := range typed.names() {
		*value = strings.TrimSpace(v.form.Get("field-" + name))
	}
	path := "/integrations/" + url.PathEscape(v.c.Param("id"))
	var in integration
	if _, err := v.get(path, nil, &in); err != nil {
		return err
	}
	options, err := in.options(typed)
	if err != nil {
		return v.showMapping(&typed, nil, err)
	}
	body := map[string]any{"options": options}
	if v.form.Get("do") == "save" {
		if err := v.api.Patch(v.ctx, path, body, nil); err != nil {
			return v.showMapping(&typed, nil, err)
		}
		return v.done(Root+"/integrations/"+in.ID, "The mapping is stored: it holds for webhooks from now on. A replay can send past events as it makes them.")
	}
	eventID := strings.ToLower(strings.TrimSpace(v.form.Get("event")))
	if !valid(eventID) {
		return v.showMapping(&typed, nil, fault.Invalid.New("bad_event", "Choose an event to try the mapping on."))
	}
	var found mappingPreview
	if err := v.api.Post(v.ctx, "/events/"+eventID+"/mapping", body, &found); err != nil {
		return v.showMapping(&typed, nil, err)
	}
	return v.showMapping(&typed, &found, nil)
}
