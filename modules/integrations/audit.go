package integrations

import (
	"context"
	"encoding/json"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// entityIntegration is the entity type of audit entries about integrations and secrets.
const entityIntegration = "integration"

// integrationDetails are the details of audit entries about an integration and its secrets.
// They never hold a secret.
type integrationDetails struct {
	Source    string            `json:"source"`
	Provider  string            `json:"provider"`
	Changed   []string          `json:"changed,omitempty"`
	IsActive  *bool             `json:"isActive,omitempty"`
	SecretID  string            `json:"secretId,omitempty"`
	Note      string            `json:"note,omitempty"`
	ExpiresAt *clock.Time       `json:"expiresAt,omitempty"`
	Purpose   provider.Purpose  `json:"purpose,omitempty"`
	Handshake string            `json:"handshake,omitempty"` // which brought a secret
	SourceIP  string            `json:"sourceIp,omitempty"`
	OpenJobs  contract.OpenJobs `json:"openJobs,omitempty"`
}

// auditIntegration records an operator's change under the caller's credential.
func (m *Module) auditIntegration(ctx context.Context, tx *database.Tx, i integrationRow, action string, d integrationDetails) error {
	d.Source, d.Provider = i.Source, i.Provider
	text, _ := json.Marshal(d) // strings, times and booleans always marshal
	err := m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{
		EntityType: entityIntegration, EntityID: &i.ID, Action: action, Actor: httpapi.Actor(ctx), Details: text,
	}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
