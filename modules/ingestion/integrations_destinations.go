package ingestion

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Each of these locks the integration, so that none of them reaches one that is archived.
// Delivery audits them.

// AddDestination gives an integration one more destination.
func (m *Module) AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error) {
	if err := m.lockForDestination(ctx, tx, integrationID, c); err != nil {
		return contract.NewDestination{}, err
	}
	return m.d.Destinations.AddDestination(ctx, tx, integrationID, c)
}

// lockForDestination locks an integration that may have a destination such as c says.
func (m *Module) lockForDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) error {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return err
	}
	var wrong mistakes
	if checkRawMode("", i.redacts(), c, &wrong); len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	return nil
}

// ChangeDestination changes what c gives.
func (m *Module) ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error {
	if err := m.lockForDestination(ctx, tx, integrationID, c); err != nil {
		return err
	}
	return m.d.Destinations.ChangeDestination(ctx, tx, integrationID, destinationID, c)
}

// RemoveDestination ends a destination: it is sent nothing new, and what waits for it is
// finished or cancelled as jobs says.
func (m *Module) RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	if _, err := m.lockIntegration(ctx, tx, integrationID); err != nil {
		return err
	}
	return m.d.Destinations.RemoveDestination(ctx, tx, integrationID, destinationID, jobs)
}

// RotateSigningSecret gives a destination a new signing secret, and gives it; the old one
// signs beside it for a while.
func (m *Module) RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error) {
	if _, err := m.lockIntegration(ctx, tx, integrationID); err != nil {
		return "", err
	}
	return m.d.Destinations.RotateSigningSecret(ctx, tx, integrationID, destinationID)
}
