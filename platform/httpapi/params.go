package httpapi

import (
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// ID is the path's :id, in lower case; a fault.Invalid when it is no UUID.
func ID(c echo.Context) (string, error) {
	value := strings.ToLower(c.Param("id"))
	if !id.Valid(value) {
		return "", Invalid([]fault.Field{{Field: "id", Message: "must be a UUID"}})
	}
	return value, nil
}
