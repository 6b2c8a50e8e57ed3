package access

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/httpapi"
)

// bodyLimit is far more than the longest body that is accepted needs, in bytes.
const bodyLimit = 32 << 10

func (m *Module) post(c echo.Context) error {
	var body struct {
		Name      string     `json:"name"`
		Role      string     `json:"role"`
		Sources   []string   `json:"sources"`
		ExpiresAt *time.Time `json:"expiresAt"`
	}
	if err := httpapi.DecodeStrictJSON(c, bodyLimit, &body); err != nil {
		return err
	}
	k, text, err := m.Create(c.Request().Context(), NewKey{Name: body.Name, Role: body.Role, Sources: body.Sources, ExpiresAt: body.ExpiresAt})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusCreated, struct {
		Key
		Text string `json:"key"`
	}{k, text.Reveal()})
}

func (m *Module) list(c echo.Context) error {
	keys, err := m.Keys(c.Request().Context())
	if err != nil {
		return err
	}
	return httpapi.All(c, keys)
}

func (m *Module) delete(c echo.Context) error {
	keyID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	k, err := m.Revoke(c.Request().Context(), keyID)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, k)
}
