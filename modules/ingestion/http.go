package ingestion

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

func (m *Module) getEvents(c echo.Context) error {
	ctx := c.Request().Context()
	l, f, paging, err := m.eventsAsked(ctx, httpapi.QueryOf(c))
	if err != nil {
		return err
	}
	list, err := database.ReadList(ctx, m.d.DB, l, f, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, eventRow.shown)
}

// eventsAsked is what a request for GET /events asks for, within the caller's scope.
func (m *Module) eventsAsked(ctx context.Context, q *httpapi.Query) (l database.Listing[eventRow], f *database.Filter, paging httpapi.Paging, err error) {
	order, named := eventOrderOf(q), q.Text("provider")
	l, f, paging = order.listing(), m.eventFilter(q, order.received), q.Paging(order.cursorName())
	if err := q.Err(); err != nil {
		return l, f, paging, err
	}
	if named != "" {
		sources, err := m.sourcesOfProvider(ctx, provider.Clean(named))
		if err != nil {
			return l, f, paging, err
		}
		f.Among("e.source", sources)
	}
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		f.Among("e.source", scope.Sources)
	}
	switch {
	case q.Text("status") == "":
		l.CountFrom = eventsAlone
	case f.Only("s."):
		l.CountFrom = statesAlone
	}
	return l, f, paging, nil
}

// exact is a parameter of GET /events that a column must equal.
type exact struct{ parameter, column string }

var exactly = []exact{
	{"source", "e.source"}, {"eventType", "e.event_type"}, {"externalEventId", "e.external_event_id"}, {"correlationId", "e.correlation_id"},
}

// eventFilter reads the conditions of GET /events, but for the provider; received is the
// column of receivedAt.
func (m *Module) eventFilter(q *httpapi.Query, received string) *database.Filter {
	f := &database.Filter{}
	for _, exact := range exactly {
		if v := q.Text(exact.parameter); v != "" {
			f.Add(exact.column+" = ?", provider.Clean(v)) // as the columns have it
		}
	}
	if v := q.Enum("status", "", "pending", "processing", "processed", "retrying", "failed"); v != "" {
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

func (m *Module) getEvent(c echo.Context) error {
	eventID, err := idParam(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	event, err := m.event(ctx, eventID)
	if err != nil {
		return err
	}
	webhook, err := m.webhook(ctx, event.WebhookEventID)
	if err != nil {
		return err
	}
	webhook.takeID(event)
	attempts, jobs, err := m.d.Deliveries.History(ctx, eventID)
	if err != nil {
		return err
	}
	event.Status = statusNow(event.Status, jobs)
	return httpapi.Data(c, http.StatusOK, struct {
		Event            eventRow           `json:"event"`
		Webhook          *webhookView       `json:"webhook"`
		DeliveryAttempts []contract.Attempt `json:"deliveryAttempts"`
		ProcessingJobs   []contract.Job     `json:"processingJobs"`
	}{event.shown(), webhook, orEmpty(attempts), orEmpty(jobs)})
}

func (m *Module) getStatus(c echo.Context) error {
	eventID, err := idParam(c)
	if err != nil {
		return err
	}
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
	status.Jobs, status.Status = orEmpty(jobs), statusNow(status.Status, jobs)
	return httpapi.Data(c, http.StatusOK, status)
}

// statusNow is an event's status beside its jobs. One that an attempt began with a moment
// ago is not stored yet.
func statusNow(stored string, jobs []contract.Job) string {
	if slices.ContainsFunc(jobs, func(j contract.Job) bool { return j.Status == "running" && j.DestinationID != nil }) {
		return string(contract.EventProcessing)
	}
	return stored
}

// idParam reads the id in the path, in lower case as ids are stored.
func idParam(c echo.Context) (string, error) {
	v := c.Param("id")
	if !id.Valid(v) {
		return "", httpapi.Invalid([]fault.Field{{Field: "id", Message: "must be a UUID"}})
	}
	return strings.ToLower(v), nil
}
