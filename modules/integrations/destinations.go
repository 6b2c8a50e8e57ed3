package integrations

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Each of these methods locks the integration, so that none changes an archived one. Delivery
// audits them.

// AddDestination adds a destination to an integration.
func (m *Module) AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error) {
	if err := m.lockForDestination(ctx, tx, integrationID, c); err != nil {
		return contract.NewDestination{}, err
	}
	return m.d.Destinations.AddDestination(ctx, tx, integrationID, c)
}

// lockForDestination locks an integration and checks that it may have such a destination.
func (m *Module) lockForDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) error {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return err
	}
	var wrong violations
	if checkRawMode("", i.redacts(), c, &wrong); len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	return nil
}

// ChangeDestination changes the fields that c sets.
func (m *Module) ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error {
	if err := m.lockForDestination(ctx, tx, integrationID, c); err != nil {
		return err
	}
	return m.d.Destinations.ChangeDestination(ctx, tx, integrationID, destinationID, c)
}

// RemoveDestination removes a destination: it receives no new events, and jobs says whether
// its open jobs are finished or cancelled.
func (m *Module) RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	if _, err := m.lockIntegration(ctx, tx, integrationID); err != nil {
		return err
	}
	return m.d.Destinations.RemoveDestination(ctx, tx, integrationID, destinationID, jobs)
}

// RotateSigningSecret creates a new signing secret for a destination and returns it. For some
// time requests are signed with the old one too.
func (m *Module) RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error) {
	if _, err := m.lockIntegration(ctx, tx, integrationID); err != nil {
		return "", err
	}
	return m.d.Destinations.RotateSigningSecret(ctx, tx, integrationID, destinationID)
}
