package ingestion

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// maxManagementBody bounds what describes an integration.
const maxManagementBody = 1 << 20

func (m *Module) getIntegrations(c echo.Context) error {
	q := httpapi.QueryOf(c)
	f := IntegrationFilter{Provider: q.Text("provider"), ActiveOnly: q.Bool("activeOnly"), Archived: q.Bool("archived")}
	if err := q.Err(); err != nil {
		return err
	}
	list, err := m.Integrations(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return httpapi.All(c, list)
}

func (m *Module) postIntegration(c echo.Context) error {
	var body IntegrationConfig
	if err := httpapi.DecodeStrictJSON(c, maxManagementBody, &body); err != nil {
		return err
	}
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
	return httpapi.Data(c, http.StatusCreated, struct {
		Integration
		SigningSecrets []contract.NewDestination `json:"signingSecrets"`
	}{shown, made.SigningSecrets})
}

func (m *Module) getIntegration(c echo.Context) error {
	integrationID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) patchIntegration(c echo.Context) error {
	integrationID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	var body IntegrationChange
	if err := httpapi.DecodeStrictJSON(c, maxManagementBody, &body); err != nil {
		return err
	}
	err = m.change(c, func(tx *database.Tx) error {
		return m.ChangeIntegration(c.Request().Context(), tx, integrationID, body)
	})
	if err != nil {
		return err
	}
	return m.answerIntegration(c, integrationID)
}

func (m *Module) deleteIntegration(c echo.Context) error {
	integrationID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	jobs, err := openJobs(c)
	if err != nil {
		return err
	}
	err = m.change(c, func(tx *database.Tx) error {
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

// openJobs is what the caller says of deliveries that wait.
func openJobs(c echo.Context) (contract.OpenJobs, error) {
	q := httpapi.QueryOf(c)
	jobs := q.Enum("openJobs", string(contract.FinishJobs), string(contract.FinishJobs), string(contract.CancelJobs))
	return contract.OpenJobs(jobs), q.Err()
}

// change runs do in one transaction.
func (m *Module) change(c echo.Context, do func(tx *database.Tx) error) error {
	return m.d.DB.InTx(c.Request().Context(), do)
}

func (m *Module) getSecrets(c echo.Context) error {
	integrationID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	shown, err := m.IntegrationByID(c.Request().Context(), integrationID)
	if err != nil {
		return err
	}
	return httpapi.All(c, shown.Secrets)
}

func (m *Module) postSecret(c echo.Context) error {
	integrationID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	var body SecretConfig
	if err := httpapi.DecodeStrictJSON(c, maxManagementBody, &body); err != nil {
		return err
	}
	var secretID string
	err = m.change(c, func(tx *database.Tx) (err error) {
		secretID, err = m.AddSecret(c.Request().Context(), tx, integrationID, body)
		return err
	})
	if err != nil {
		return err
	}
	return m.answerSecret(c, http.StatusCreated, integrationID, secretID)
}

func (m *Module) patchSecret(c echo.Context) error {
	integrationID, secretID, err := idsOf(c, "secretId")
	if err != nil {
		return err
	}
	var body SecretChange
	if err := httpapi.DecodeStrictJSON(c, maxManagementBody, &body); err != nil {
		return err
	}
	err = m.change(c, func(tx *database.Tx) error {
		return m.ChangeSecret(c.Request().Context(), tx, integrationID, secretID, body)
	})
	if err != nil {
		return err
	}
	return m.answerSecret(c, http.StatusOK, integrationID, secretID)
}

func (m *Module) deleteSecret(c echo.Context) error {
	integrationID, secretID, err := idsOf(c, "secretId")
	if err != nil {
		return err
	}
	q := httpapi.QueryOf(c)
	force := q.Bool("force")
	if err := q.Err(); err != nil {
		return err
	}
	err = m.change(c, func(tx *database.Tx) error {
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
	return noSecret(secretID) // removed in between
}

// idsOf reads the two ids of a path below an integration.
func idsOf(c echo.Context, below string) (integrationID, belowID string, err error) {
	if integrationID, err = httpapi.ID(c); err != nil {
		return "", "", err
	}
	belowID, err = httpapi.IDOf(c, below)
	return integrationID, belowID, err
}
