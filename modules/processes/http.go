package processes

import (
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/httpapi"
)

var listSpec = httpapi.Spec{
	Summary: "The processes that run, and those that ended within a week, newest first.",
	Query:   httpapi.Between("started"),
	Answers: []httpapi.Answer{httpapi.ReturnsAll("Process", row{})},
}

// list returns the running processes and those that ended within a week.
func (m *Module) list(c echo.Context) error {
	rows := []row{}
	if err := m.d.DB.Select(c.Request().Context(), &rows, selectRecentSQL, m.d.DB.Now().Add(-retainFor)); err != nil {
		return err
	}
	q := httpapi.QueryOf(c)
	return httpapi.All(c, slices.DeleteFunc(rows, func(r row) bool { return !q.Within("started", r.StartedAt.Time) }))
}
