package follow

import (
	"strings"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// filter selects messages as GET /events selects events; "" matches any. Its scope is the
// credential's.
type filter struct {
	scope                                                    *httpapi.Scope
	kind, source, provider, eventType, external, correlation string
	status                                                   contract.EventStatus
	subject                                                  string // contained, in lower case
	times                                                    []timeBound
}

type timeBound struct {
	of       func(*contract.EventSummary) time.Time
	from, to *time.Time
}

func filterOf(scope *httpapi.Scope, q *httpapi.Query) filter {
	receivedFrom, receivedTo := q.Between("received")
	return filter{
		scope: scope, kind: q.Enum("kind"), source: provider.Clean(q.Text("source")), provider: provider.Clean(q.Text("provider")),
		eventType: provider.Clean(q.Text("eventType")), external: provider.Clean(q.Text("externalEventId")),
		correlation: provider.Clean(q.Text("correlationId")), status: contract.EventStatus(q.Enum("status")),
		subject: strings.ToLower(q.Text("subject")),
		times: []timeBound{
			{func(e *contract.EventSummary) time.Time { return e.OccurredAt.Time }, q.Time("from"), q.Time("to")},
			{func(e *contract.EventSummary) time.Time { return e.ReceivedAt.Time }, receivedFrom, receivedTo},
		},
	}
}

// matches reports whether a client gets a message. A refusal has no event, so a filter by
// what only events have excludes it.
func (f filter) matches(m *message) bool {
	if !f.sees(m.Source) || f.kind != "" && f.kind != m.kind || f.source != "" && f.source != m.Source {
		return false
	}
	e := m.Event
	if e == nil {
		return !f.ofEvents()
	}
	for _, want := range [][2]string{{f.provider, e.Provider}, {f.eventType, e.EventType}, {f.external, textOf(e.ExternalEventID)},
		{f.correlation, e.CorrelationID}, {string(f.status), string(e.Status)}} {
		if want[0] != "" && want[0] != want[1] {
			return false
		}
	}
	for _, t := range f.times {
		at := t.of(e)
		if t.from != nil && at.Before(*t.from) || t.to != nil && at.After(*t.to) {
			return false
		}
	}
	return f.subject == "" || strings.Contains(strings.ToLower(textOf(e.Subject)), f.subject)
}

func (f filter) sees(source string) bool {
	if f.scope == nil {
		return true
	}
	for _, s := range f.scope.Sources {
		if s == source {
			return true
		}
	}
	return false
}

// ofEvents reports whether the filter names something that only events have.
func (f filter) ofEvents() bool {
	for _, t := range f.times {
		if t.from != nil || t.to != nil {
			return true
		}
	}
	return f.provider+f.eventType+f.external+f.correlation+f.subject+string(f.status) != ""
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
