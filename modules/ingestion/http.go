package ingestion

import (
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
	q := httpapi.QueryOf(c)
	f, order := m.eventFilter(q), eventOrderOf(q)
	paging := q.Paging(order.cursorName())
	if err := q.Err(); err != nil {
		return err
	}
	if scope := httpapi.ScopeOf(c.Request().Context()); scope != nil {
		f.Among("e.source", scope.Sources)
	}
	l := order.listing()
	if q.Text("status") == "" {
		l.CountFrom = eventsAlone
	}
	list, err := database.ReadList(c.Request().Context(), m.d.DB, l, f, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, eventRow.shown)
}

// eventFilter reads the conditions of GET /events.
func (m *Module) eventFilter(q *httpapi.Query) *database.Filter {
	f := &database.Filter{}
	for _, exact := range []struct{ parameter, column string }{
		{"provider", "e.provider"}, {"source", "e.source"}, {"eventType", "e.event_type"},
		{"externalEventId", "e.external_event_id"}, {"correlationId", "e.correlation_id"},
	} {
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
		{"receivedFrom", "e.received_at >= ?"}, {"receivedTo", "e.received_at <= ?"},
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
