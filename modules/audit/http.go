package audit

import (
	"encoding/json"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// view is an entry as the API shows it.
type view struct {
	ID         string          `json:"id"`
	EntityType string          `json:"entityType"`
	EntityID   *string         `json:"entityId"`
	Action     string          `json:"action"`
	Actor      string          `json:"actor"`
	Details    json.RawMessage `json:"details" api:"object"`
	CreatedAt  clock.Time      `json:"createdAt"`
}

func viewOf(e entry) view {
	e = e.readable()
	return view{e.ID, e.EntityType, e.EntityID, e.Action, e.Actor, json.RawMessage(e.Details), e.CreatedAt}
}

var listSpec = httpapi.Spec{
	Summary: "The audit trail, newest first. A key that is restricted to sources sees the entries of these, and with `entityId` all entries of an event of these.",
	Query: httpapi.PagedQuery(append([]httpapi.Param{
		httpapi.TextParam("entityType", "what the entry is about, such as `normalized_event`"),
		httpapi.UUIDParam("entityId", "its id"),
		httpapi.TextParam("action", "such as `event.failed`"),
		httpapi.TextParam("actor", "who did it: `gateway`, `gateway-cli`, `management-key` or `api-key:<name>`"),
		httpapi.TextParam("source", "of this source: changes of its integration and destinations, refusals and more. What every webhook leaves is not among them: list its events"),
	}, httpapi.Between("created")...)...),
	Answers: []httpapi.Answer{httpapi.ReturnsPage("AuditEntry", view{})},
}

func (m *Module) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	from, to := q.Between("created")
	want := filter{entityType: q.Text("entityType"), entityID: q.UUID("entityId"), action: q.Text("action"), actor: q.Text("actor"), source: q.Text("source"), from: from, to: to}
	want, err := m.scoped(c.Request().Context(), want)
	if err != nil {
		return err
	}
	list, err := readEntries(c.Request().Context(), m.db, m.log, want, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}
