package integrations

import (
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// pauseBody is an order whose fields are checked.
type pauseBody struct{ contract.PauseOrder }

// Mistakes returns every invalid field; only the database's clock tells whether until is in the
// future.
func (b pauseBody) Mistakes() (wrong []fault.Field) {
	if b.Until != nil && (b.Until.UTC().Year() < 1 || b.Until.UTC().Year() > 9999) {
		wrong = append(wrong, fault.Field{Field: "until", Message: "must be an RFC 3339 time such as 2026-01-31T06:00:00Z"})
	}
	if b.Reason != nil {
		wrong = append(wrong, httpapi.CheckText("reason", strings.TrimSpace(*b.Reason), 2, 500)...)
	}
	return wrong
}

var (
	pauseSpec = httpapi.Spec{
		Summary: "Stops deliveries to a destination; its events wait. With `until` it is resumed by itself then. Of a paused one it changes the end and the reason.",
		Body:    pauseBody{}, BodyName: "DestinationPauseOrder", OptionalBody: true,
		Answers: integrationAnswer, Errors: conflict,
		Example: `{"until":"2026-12-01T06:00:00Z","reason":"the receiver moves"}`,
	}
	resumeSpec = httpapi.Spec{
		Summary: "Delivers to a paused destination again, also what waited. An active one stays as it is.",
		Answers: integrationAnswer, Errors: conflict,
	}
)

func (m *Module) postPause(c echo.Context) error {
	ctx, integrationID, destinationID := c.Request().Context(), httpapi.ID(c), httpapi.IDOf(c, "destinationId")
	body := httpapi.BodyOf[pauseBody](c)
	err := m.change(c, func(tx *database.Tx) error {
		if _, err := m.lockIntegration(ctx, tx, integrationID); err != nil {
			return err
		}
		return m.d.Destinations.PauseDestination(ctx, tx, integrationID, destinationID, body.PauseOrder)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) postResume(c echo.Context) error {
	ctx, integrationID, destinationID := c.Request().Context(), httpapi.ID(c), httpapi.IDOf(c, "destinationId")
	err := m.change(c, func(tx *database.Tx) error {
		if _, err := m.lockIntegration(ctx, tx, integrationID); err != nil {
			return err
		}
		return m.d.Destinations.ResumeDestination(ctx, tx, integrationID, destinationID)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}
