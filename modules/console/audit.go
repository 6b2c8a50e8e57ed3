package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"integration-gateway/platform/client"
	"integration-gateway/platform/httpapi"
)

// auditPage is a part of the audit trail.
type auditPage struct {
	Action, EntityType, EntityID, Actor, Source string
	Since                                       string
	Sinces, Sources, Actors                     []string
	Entries                                     []auditEntry
	Count, Next, First                          string
}

// fields are the parameters of the page's address, with the API's names.
func (p *auditPage) fields() []filterField {
	return []filterField{{"action", "action", &p.Action}, {"type", "entityType", &p.EntityType}, {"id", "entityId", &p.EntityID},
		{"actor", "actor", &p.Actor}, {"source", "source", &p.Source}, {"since", "", &p.Since}}
}

// actors are those of the trail that are no key's.
var actors = []string{"gateway", "gateway-cli", "management-key"}

func (m *Module) auditTrail(v *visit) error {
	p := auditPage{Sinces: sinces, Actors: slices.Clone(actors)}
	own, asked := url.Values{}, url.Values{"pageSize": {pageSize}}
	for _, f := range p.fields() {
		if *f.value = v.param(f.word); *f.value != "" {
			own.Set(f.word, *f.value)
			if f.api != "" {
				asked.Set(f.api, *f.value)
			}
		}
	}
	if length, ok := parseSince(p.Since); ok {
		asked.Set("createdFrom", m.d.Now().Add(-length).UTC().Format(time.RFC3339))
	}
	if cursor := v.param("cursor"); cursor != "" {
		asked.Set("cursor", cursor)
		p.First = withQuery(Root+"/audit", own)
	}
	var d directory
	var meta client.Meta
	var wrong error
	parts := []reading{v.directoryInto(&d), func(ctx context.Context) error { // whose error is shown on the page
		meta, wrong = v.api.Get(ctx, "/audit-entries", asked, &p.Entries)
		return nil
	}}
	var keys []apiKey
	if v.may(httpapi.Admin) && v.everywhere() {
		parts = append(parts, v.into("/api-keys", nil, &keys))
	}
	if err := v.together(parts...); err != nil {
		return err
	}
	p.Sources = d.sources()
	for _, k := range keys {
		p.Actors = append(p.Actors, "api-key:"+k.Name)
	}
	if wrong != nil {
		return v.showWith(http.StatusOK, "audit", "Audit", p, wrong)
	}
	p.Count = countOf(meta, "entry", "entries")
	if meta.NextCursor != nil {
		own.Set("cursor", *meta.NextCursor)
		p.Next = withQuery(Root+"/audit", own)
	}
	return v.show("audit", "Audit", p)
}

// Any reports whether anything is left out.
func (p auditPage) Any() bool {
	for _, f := range p.fields() {
		if *f.value != "" {
			return true
		}
	}
	return false
}

// Known reports whether the actor is one of those to choose.
func (p auditPage) Known() bool { return p.Actor == "" || slices.Contains(p.Actors, p.Actor) }

// href is the page of what the entry is about; "" if there is none.
func (e auditEntry) href() string {
	if e.EntityID == nil {
		return ""
	}
	switch e.EntityType {
	case "normalized_event":
		return Root + "/events/" + *e.EntityID
	case "replay":
		return Root + "/replays/" + *e.EntityID
	case "destination":
		return Root + "/destinations/" + *e.EntityID
	case "integration":
		return Root + "/integrations/" + *e.EntityID
	}
	return ""
}
