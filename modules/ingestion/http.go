package ingestion

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

func (m *Module) getEvents(c echo.Context) error {
	ctx := c.Request().Context()
	q := httpapi.QueryOf(c)
	l, f, paging, err := m.eventQuery(ctx, q)
	if err != nil {
		return err
	}
	list, err := m.readEvents(ctx, q, l, f, paging.Page)
	if err != nil {
		return err
	}
	content := content{db: m.d.DB}
	for i := range list.Items {
		if err := list.Items[i].open(ctx, &content); err != nil {
			return err
		}
	}
	return httpapi.Paged(c, paging, list, eventRow.shown)
}

// eventQuery parses the query of GET /events, within the caller's scope.
func (m *Module) eventQuery(ctx context.Context, q *httpapi.Query) (l database.Listing[eventRow], f *database.Filter, paging httpapi.Paging, err error) {
	order, named := eventOrderOf(q), q.Text("provider")
	l, f, paging = order.listing(m.d.DB.Dialect), m.eventFilter(q, order.received), q.Paging()
	if named != "" {
		sources, err := m.d.Sources.SourcesOfProvider(ctx, provider.Clean(named))
		if err != nil {
			return l, f, paging, err
		}
		f.Among("e.source", sources)
	}
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		f.Among("e.source", scope.Sources)
	}
	switch {
	case q.Enum("status") == "":
		l.CountFrom = eventsOnly
	case f.Only("s."):
		l.CountFrom = statesOnly
	}
	return l, f, paging, nil
}

// exactSubject is the parameter for the events of one subject.
const exactSubject = "exactSubject"

// exact is a parameter of GET /events that a column must equal.
type exact struct{ parameter, column string }

var exactly = []exact{
	{"source", "e.source"}, {"eventType", "e.event_type"}, {"externalEventId", "e.external_event_id"},
	{exactSubject, "e.subject"},
}

// eventFilter reads the conditions of GET /events, except the provider. received is the
// column of receivedAt.
func (m *Module) eventFilter(q *httpapi.Query, received string) *database.Filter {
	f := &database.Filter{}
	for _, exact := range exactly {
		if v := q.Text(exact.parameter); v != "" {
			f.Add(exact.column+" = ?", provider.Clean(v)) // as the columns have it
		}
	}
	if v := q.Text(exactSubject); v != "" {
		hash := m.d.DB.Dialect.HashText // what the index has
		f.Add(fmt.Sprintf(hash, "e.subject")+" = "+fmt.Sprintf(hash, "?"), provider.Clean(v))
	}
	if v := q.Text("correlationId"); v != "" {
		addCorrelation(f, provider.Clean(v))
	}
	if v := q.Enum("status"); v != "" {
		f.Add("s.status = ?", v)
	}
	if v := q.Text("subject"); v != "" {
		f.Add("e.subject "+m.d.DB.Dialect.Like+` ? ESCAPE '\'`, database.Contains(v))
	}
	for _, bound := range []struct{ parameter, condition string }{
		{"from", "e.occurred_at >= ?"}, {"to", "e.occurred_at <= ?"},
		{"receivedFrom", received + " >= ?"}, {"receivedTo", received + " <= ?"},
	} {
		if t := q.Time(bound.parameter); t != nil {
			f.Add(bound.condition, *t)
		}
	}
	return f
}

// addCorrelation appends the condition that an event has this correlation id, which most store
// as their own id.
func addCorrelation(f *database.Filter, correlationID string) {
	eventID := id.EventOf(correlationID)
	if eventID == "" {
		f.Add("e.correlation_id = ?", correlationID)
		return
	}
	f.Add("(e.correlation_id = ? OR e.id = ? AND e.correlation_id IS NULL)", correlationID, eventID)
}

func (m *Module) getEvent(c echo.Context) error {
	eventID := httpapi.ID(c)
	ctx := c.Request().Context()
	event, err := m.event(ctx, eventID)
	if err != nil {
		return err
	}
	webhook, err := m.webhook(ctx, event)
	if err != nil {
		return err
	}
	attempts, jobs, err := m.d.Deliveries.History(ctx, eventID)
	if err != nil {
		return err
	}
	event.Status = statusNow(event.Status, jobs)
	return httpapi.Data(c, http.StatusOK, eventDetails{event.shown(), webhook, httpapi.OrEmpty(attempts), httpapi.OrEmpty(jobs)})
}

func (m *Module) getStatus(c echo.Context) error {
	eventID := httpapi.ID(c)
	ctx := c.Request().Context()
	if httpapi.ScopeOf(ctx) != nil {
		if _, err := m.event(ctx, eventID); err != nil {
			return err // of another source
		}
	}
	status, err := m.status(ctx, eventID)
	if err != nil {
		return err
	}
	jobs, err := m.d.Deliveries.Jobs(ctx, eventID)
	if err != nil {
		return err
	}
	status.Jobs, status.Status = httpapi.OrEmpty(jobs), statusNow(status.Status, jobs)
	return httpapi.Data(c, http.StatusOK, status)
}

// statusNow returns an event's current status: while one of its deliveries runs, the stored
// status is not updated yet.
func statusNow(stored string, jobs []contract.Job) string {
	if slices.ContainsFunc(jobs, func(j contract.Job) bool { return j.Status == "running" && j.DestinationID != nil }) {
		return string(contract.EventProcessing)
	}
	return stored
}
