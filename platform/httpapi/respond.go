package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/database"
)

type success struct {
	Success bool `json:"success"`
	Data    any  `json:"data"`
	Meta    any  `json:"meta"` // null but for lists
}

// Total describes a list that is returned completely.
type Total struct {
	Total int `json:"total"`
}

// Meta describes a page of a list. Page is null if the list was read by cursor; NextCursor
// is null on the last page and for orders without cursors. A total above
// database.CountedAtMost is an estimate.
type Meta struct {
	Page            *int    `json:"page"`
	PageSize        int     `json:"pageSize"`
	Total           int     `json:"total"`
	TotalIsEstimate bool    `json:"totalIsEstimate"`
	TotalPages      int     `json:"totalPages"`
	NextCursor      *string `json:"nextCursor"`
}

// Data answers with status and data.
func Data(c echo.Context, status int, data any) error {
	return c.JSON(status, success{Success: true, Data: data})
}

// All answers with a whole list that is not paged; total is its length.
func All[T any](c echo.Context, items []T) error {
	if items == nil {
		items = []T{}
	}
	return c.JSON(http.StatusOK, success{Success: true, Data: items, Meta: Total{len(items)}})
}

// Paged answers with one page of a list, each row converted by view. order is the query's
// order, to which the cursor belongs.
func Paged[T, V any](c echo.Context, p Paging, list database.List[T], view func(T) V) error {
	views := make([]V, len(list.Items))
	for i, item := range list.Items {
		views[i] = view(item)
	}
	pages := (list.Total + p.Size - 1) / p.Size
	meta := Meta{PageSize: p.Size, Total: list.Total, TotalIsEstimate: list.Estimated, TotalPages: pages}
	if p.After == nil {
		meta.Page = &p.Number
	}
	if list.Next != nil {
		next := p.cursor(*list.Next)
		meta.NextCursor = &next
	}
	return c.JSON(http.StatusOK, success{Success: true, Data: views, Meta: meta})
}

// OrEmpty makes an empty list of none, since answers hold arrays.
func OrEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// OrNull is a text that is null where there is none.
func OrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
