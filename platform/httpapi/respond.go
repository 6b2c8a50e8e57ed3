package httpapi

import (
	"github.com/labstack/echo/v4"

	"integration-gateway/platform/database"
)

type success struct {
	Success bool  `json:"success"`
	Data    any   `json:"data"`
	Meta    *Meta `json:"meta,omitempty"`
}

// Meta describes a list. Page is nil when the list was read by cursor.
type Meta struct {
	Page       *int    `json:"page,omitempty"`
	PageSize   *int    `json:"pageSize,omitempty"`
	Total      int     `json:"total"`
	TotalPages *int    `json:"totalPages,omitempty"`
	NextCursor *string `json:"nextCursor,omitempty"`
}

// Data answers status with data.
func Data(c echo.Context, status int, data any) error {
	return c.JSON(status, success{Success: true, Data: data})
}

// All answers a whole list that is not paged; total is its length.
func All[T any](c echo.Context, items []T) error {
	return c.JSON(200, success{Success: true, Data: items, Meta: &Meta{Total: len(items)}})
}

// Paged answers one page of a list, each row through view. order is the query's
// order, which the cursor must be used with again.
func Paged[T, V any](c echo.Context, p Paging, list database.List[T], view func(T) V) error {
	views := make([]V, len(list.Items))
	for i, item := range list.Items {
		views[i] = view(item)
	}
	pages := (list.Total + p.Size - 1) / p.Size
	meta := &Meta{PageSize: &p.Size, Total: list.Total, TotalPages: &pages}
	if p.After == nil {
		meta.Page = &p.Number
	}
	if list.Next != nil {
		next := p.cursor(*list.Next)
		meta.NextCursor = &next
	}
	return c.JSON(200, success{Success: true, Data: views, Meta: meta})
}
