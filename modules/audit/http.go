package audit

import (
	"encoding/json"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// view is an entry as it is shown.
type view struct {
	ID         string          `json:"id"`
	EntityType string          `json:"entityType"`
	EntityID   *string         `json:"entityId"`
	Action     string          `json:"action"`
	Actor      string          `json:"actor"`
	Details    json.RawMessage `json:"details"`
	CreatedAt  clock.Time      `json:"createdAt"`
}

func viewOf(e entry) view {
	return view{e.ID, e.EntityType, e.EntityID, e.Action, e.Actor, json.RawMessage(e.Details), e.CreatedAt}
}

func (m *Module) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging("newest")
	want := filter{q.Text("entityType"), strings.ToLower(q.UUID("entityId")), q.Text("action")}
	if err := q.Err(); err != nil {
		return err
	}
	list, err := readEntries(c.Request().Context(), m.db, want, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}
