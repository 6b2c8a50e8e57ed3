package delivery

import (
	"fmt"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
)

const selectDestinationsOfSQL = `
SELECT d.id FROM destinations d WHERE d.integration_id IN (SELECT id FROM v)`

var deliveriesSpec = httpapi.Spec{
	Summary: "Attempts to deliver events, newest first.",
	Query: httpapi.PagedQuery(append([]httpapi.Param{
		httpapi.EnumParam("status", "how the attempt ended", "success", "failed"),
		httpapi.EnumParam("errorKind", "why it failed", failureKinds...),
		httpapi.IntParam("httpStatus", "the destination's answer", 100, 999),
		httpapi.UUIDParam("eventId", "of this event"),
		httpapi.SourceParam(),
		httpapi.UUIDParam("destinationId", "to this destination"),
	}, httpapi.Between("created")...)...),
	Answers: []httpapi.Answer{httpapi.ReturnsPage("", contract.Attempt{})},
}

func (m *Module) listAttempts(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	f := attemptFilter(q)
	if scope := httpapi.ScopeOf(c.Request().Context()); scope != nil {
		var own []string // destinations, by which attempts have an index
		if len(scope.Integrations) == 0 {
			f.Among("destination_id", nil)
		} else if err := m.db.SelectRows(c.Request().Context(), &own, database.IDs(scope.Integrations), selectDestinationsOfSQL); err != nil {
			return fmt.Errorf("find the destinations of the scope: %w", err)
		} else {
			f.Among("destination_id", own)
		}
	}
	list, err := database.ReadList(c.Request().Context(), m.db, newestAttempts, f, paging.Page)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	return httpapi.Paged(c, paging, list, func(r attemptRow) contract.Attempt { return contract.Attempt(r) })
}

var newestAttempts = database.Listing[attemptRow]{
	Columns: attemptColumns, From: "delivery_attempts", ID: "id", Desc: true,
	Key: func(r attemptRow) database.Position { return database.Position{ID: r.ID} },
}

// attemptFilter reads the conditions of GET /deliveries.
func attemptFilter(q *httpapi.Query) *database.Filter {
	f := &database.Filter{}
	result, kind := q.Enum("status"), q.Enum("errorKind")
	event, dest := q.UUID("eventId"), q.UUID("destinationId")
	for column, value := range map[string]string{"status": result, "normalized_event_id": event, "destination_id": dest} {
		if value != "" {
			f.Add(column+" = ?", value)
		}
	}
	if code := q.Int("httpStatus"); code != 0 {
		f.Add("http_status = ?", code)
	}
	f.CreatedBetween("id", "created_at", q.Time("createdFrom"), q.Time("createdTo"))
	if kind != "" {
		f.Add("status = 'failed'")              // the index has no others
		if kind == string(egress.KindRefused) { // a reason may follow it
			f.Add("(error_kind = ? OR error_kind LIKE ?)", kind, kind+":%")
		} else {
			f.Add("error_kind = ?", kind)
		}
	}
	return f
}
