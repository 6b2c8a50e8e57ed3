package ingestion

import (
	"context"
	"encoding/json"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// integrationDetails are what audit entries of an integration and its secrets say; never
// a secret.
type integrationDetails struct {
	Source    string            `json:"source"`
	Provider  string            `json:"provider"`
	Changed   []string          `json:"changed,omitempty"`
	IsActive  *bool             `json:"isActive,omitempty"`
	SecretID  string            `json:"secretId,omitempty"`
	Note      string            `json:"note,omitempty"`
	ExpiresAt *clock.Time       `json:"expiresAt,omitempty"`
	OpenJobs  contract.OpenJobs `json:"openJobs,omitempty"`
}

func (m *Module) auditIntegration(ctx context.Context, tx *database.Tx, i integrationRow, action string, d integrationDetails) error {
	d.Source, d.Provider = i.Source, i.Provider
	return m.auditChange(ctx, tx, contract.EntityIntegration, i.ID, action, d)
}

// auditChange records what an operator did, under the credential that was used.
func (m *Module) auditChange(ctx context.Context, tx *database.Tx, entityType, entityID, action string, details any) error {
	text, _ := json.Marshal(details) // strings, times and booleans always marshal
	err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{
		EntityType: entityType, EntityID: &entityID, Action: action, Actor: httpapi.Actor(ctx), Details: text,
	}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
