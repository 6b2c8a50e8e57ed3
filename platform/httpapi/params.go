package httpapi

import (
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// ID is the path's :id, in lower case; a fault.Invalid when it is no UUID.
func ID(c echo.Context) (string, error) { return IDOf(c, "id") }

// IDOf is ID for a parameter of another name.
func IDOf(c echo.Context, name string) (string, error) {
	value := strings.ToLower(c.Param(name))
	if !id.Valid(value) {
		return "", Invalid([]fault.Field{{Field: name, Message: "must be a UUID"}})
	}
	return value, nil
}
