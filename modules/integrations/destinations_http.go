package integrations

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

func (m *Module) postDestination(c echo.Context) error {
	integrationID := httpapi.ID(c)
	body := httpapi.BodyOf[contract.DestinationConfig](c)
	var made contract.NewDestination
	err := m.change(c, func(tx *database.Tx) (err error) {
		made, err = m.AddDestination(c.Request().Context(), tx, integrationID, body)
		return err
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusCreated, made)
}

func (m *Module) patchDestination(c echo.Context) error {
	integrationID, destinationID := httpapi.ID(c), httpapi.IDOf(c, "destinationId")
	body := httpapi.BodyOf[contract.DestinationConfig](c)
	err := m.change(c, func(tx *database.Tx) error {
		return m.ChangeDestination(c.Request().Context(), tx, integrationID, destinationID, body)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) deleteDestination(c echo.Context) error {
	integrationID, destinationID := httpapi.ID(c), httpapi.IDOf(c, "destinationId")
	jobs := contract.OpenJobs(httpapi.QueryOf(c).Enum("openJobs"))
	err := m.change(c, func(tx *database.Tx) error {
		return m.RemoveDestination(c.Request().Context(), tx, integrationID, destinationID, jobs)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) rotateSigningSecret(c echo.Context) error {
	integrationID, destinationID := httpapi.ID(c), httpapi.IDOf(c, "destinationId")
	made := contract.NewDestination{ID: destinationID}
	err := m.change(c, func(tx *database.Tx) (err error) {
		made.SigningSecret, err = m.RotateSigningSecret(c.Request().Context(), tx, integrationID, destinationID)
		return err
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, made)
}
