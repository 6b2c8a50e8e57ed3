package console

import (
	"net/url"
)

// auditPage is a part of the audit trail.
type auditPage struct {
	Action, EntityType, EntityID string
	Entries                      []auditEntry
	Count, Next, First           string
}

func (m *Module) auditTrail(v *visit) error {
	p := auditPage{Action: v.param("action"), EntityType: v.param("type"), EntityID: v.param("id")}
	own, asked := url.Values{}, url.Values{"pageSize": {pageSize}}
	for _, f := range []struct{ own, asked, value string }{{"action", "action", p.Action}, {"type", "entityType", p.EntityType}, {"id", "entityId", p.EntityID}} {
		if f.value != "" {
			own.Set(f.own, f.value)
			asked.Set(f.asked, f.value)
		}
	}
	if cursor := v.param("cursor"); cursor != "" {
		asked.Set("cursor", cursor)
		p.First = withQuery(Root+"/audit", own)
	}
	meta, err := v.get("/audit-entries", asked, &p.Entries)
	if err != nil {
		return v.showWith(200, "audit", "Audit", p, err)
	}
	p.Count = countOf(meta, "entry", "entries")
	if meta.NextCursor != nil {
		own.Set("cursor", *meta.NextCursor)
		p.Next = withQuery(Root+"/audit", own)
	}
	return v.show("audit", "Audit", p)
}

// Href is the page of what the entry is about; "" if there is none.
func (e auditEntry) Href() string {
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
