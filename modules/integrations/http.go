package integrations

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// maxManagementBody bounds the description of an integration.
const maxManagementBody = 1 << 20

func (m *Module) getIntegrations(c echo.Context) error {
	q := httpapi.QueryOf(c)
	f := IntegrationFilter{Provider: q.Text("provider"), ActiveOnly: q.Bool("activeOnly"), Archived: q.Bool("archived")}
	list, err := m.Integrations(c.Request().Context(), f)
	if err != nil {
		return err
	}
	source := q.Text("source")
	return httpapi.All(c, slices.DeleteFunc(list, func(i Integration) bool {
		return source != "" && i.Source != source || !q.Within("created", i.CreatedAt.Time)
	}))
}

func (m *Module) postIntegration(c echo.Context) error {
	body := httpapi.BodyOf[IntegrationConfig](c)
	var made CreatedIntegration
	err := m.change(c, func(tx *database.Tx) (err error) {
		made, err = m.CreateIntegration(c.Request().Context(), tx, body)
		return err
	})
	if err != nil {
		return err
	}
	shown, err := m.IntegrationByID(c.Request().Context(), made.ID)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusCreated, createdIntegration{shown, made.SigningSecrets})
}

func (m *Module) getIntegration(c echo.Context) error {
	integrationID := httpapi.ID(c)
	return m.answerIntegration(c, integrationID)
}

func (m *Module) patchIntegration(c echo.Context) error {
	integrationID := httpapi.ID(c)
	body := httpapi.BodyOf[IntegrationChange](c)
	err := m.change(c, func(tx *database.Tx) error {
		return m.ChangeIntegration(c.Request().Context(), tx, integrationID, body)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) deleteIntegration(c echo.Context) error {
	integrationID := httpapi.ID(c)
	jobs := contract.OpenJobs(httpapi.QueryOf(c).Enum("openJobs"))
	err := m.change(c, func(tx *database.Tx) error {
		return m.ArchiveIntegration(c.Request().Context(), tx, integrationID, jobs)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) answerIntegration(c echo.Context, integrationID string) error {
	shown, err := m.IntegrationByID(c.Request().Context(), integrationID)
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, shown)
}

// change runs do in one transaction.
func (m *Module) change(c echo.Context, do func(tx *database.Tx) error) error {
	return m.d.DB.InTx(c.Request().Context(), do)
}

func (m *Module) getSecrets(c echo.Context) error {
	integrationID := httpapi.ID(c)
	shown, err := m.IntegrationByID(c.Request().Context(), integrationID)
	if err != nil {
		return err
	}
	q := httpapi.QueryOf(c)
	return httpapi.All(c, slices.DeleteFunc(shown.Secrets, func(s SecretInfo) bool { return !q.Within("created", s.CreatedAt.Time) }))
}

func (m *Module) postSecret(c echo.Context) error {
	integrationID := httpapi.ID(c)
	body := httpapi.BodyOf[SecretConfig](c)
	var secretID string
	err := m.change(c, func(tx *database.Tx) (err error) {
		secretID, err = m.AddSecret(c.Request().Context(), tx, integrationID, body)
		return err
	})
	if err != nil {
		return err
	}
	return m.answerSecret(c, http.StatusCreated, integrationID, secretID)
}

func (m *Module) patchSecret(c echo.Context) error {
	integrationID, secretID := httpapi.ID(c), httpapi.IDOf(c, "secretId")
	body := httpapi.BodyOf[SecretChange](c)
	err := m.change(c, func(tx *database.Tx) error {
		return m.ChangeSecret(c.Request().Context(), tx, integrationID, secretID, body)
	})
	if err != nil {
		return err
	}
	return m.answerSecret(c, http.StatusOK, integrationID, secretID)
}

func (m *Module) deleteSecret(c echo.Context) error {
	integrationID, secretID := httpapi.ID(c), httpapi.IDOf(c, "secretId")
	q := httpapi.QueryOf(c)
	force := q.Bool("force")
	err := m.change(c, func(tx *database.Tx) error {
		return m.RemoveSecret(c.Request().Context(), tx, integrationID, secretID, force)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) answerSecret(c echo.Context, status int, integrationID, secretID string) error {
	shown, err := m.IntegrationByID(c.Request().Context(), integrationID)
	if err != nil {
		return err
	}
	for _, s := range shown.Secrets {
		if s.ID == secretID {
			return httpapi.Data(c, status, s)
		}
	}
	return noSecret(secretID) // removed meanwhile
}
