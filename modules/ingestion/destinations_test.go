package ingestion

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// Here deliveries stands for delivery's destinations: it wants a URL, and keeps rows where
// the real one does, so that a transaction that fails leaves none.

func (d *deliveries) CheckDestination(c contract.DestinationConfig) error {
	if c.URL == nil || *c.URL == "" {
		return httpapi.Invalid([]fault.Field{{Field: "url", Message: "is required"}})
	}
	return nil
}

func (d *deliveries) AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error) {
	if err := d.CheckDestination(c); err != nil {
		return contract.NewDestination{}, err
	}
	made := contract.NewDestination{ID: id.New(), SigningSecret: "whsec_shown-once"}
	mode := contract.ModeCanonical
	if c.Mode != nil {
		mode = *c.Mode
	}
	row := database.NewRows("id uuid", "integration_id uuid", "url text", "is_active boolean", "mode text", "signing_secret text", "created_at timestamptz", "updated_at timestamptz")
	row.Add(made.ID, integrationID, *c.URL, true, string(mode), "sealed", tx.Now, tx.Now)
	if err := tx.Insert(ctx, "destinations", row); err != nil {
		return made, err
	}
	return made, d.failure
}

func (d *deliveries) ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error {
	return d.update(ctx, tx, `UPDATE destinations SET url = $3 WHERE id = $1 AND integration_id = $2`, destinationID, integrationID, *c.URL)
}

func (d *deliveries) RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	d.closed = append(d.closed, string(jobs))
	return d.update(ctx, tx, `DELETE FROM destinations WHERE id = $1 AND integration_id = $2`, destinationID, integrationID)
}

func (d *deliveries) DestinationChanges(context.Context, *database.Tx, string, string, contract.DestinationConfig) ([]string, error) {
	return nil, nil
}

func (d *deliveries) RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error) {
	return "whsec_rotated", d.update(ctx, tx, `UPDATE destinations SET signing_secret = 'new' WHERE id = $1 AND integration_id = $2`, destinationID, integrationID)
}

func (d *deliveries) RawDestinations(ctx context.Context, tx *database.Tx, integrationID string) (ids []string, err error) {
	return ids, tx.Select(ctx, &ids, `SELECT id FROM destinations WHERE integration_id = $1 AND mode = 'raw'`, integrationID)
}

func (d *deliveries) CloseIntegration(_ context.Context, _ *database.Tx, _ string, jobs contract.OpenJobs) error {
	d.closed = append(d.closed, string(jobs))
	return d.failure
}

func (d *deliveries) update(ctx context.Context, tx *database.Tx, query, destinationID string, args ...any) error {
	n, err := tx.Exec(ctx, query, append([]any{destinationID}, args...)...)
	if err == nil && n == 0 {
		err = fault.NotFound.New("destination_not_found", "The integration has no destination %s.", destinationID)
	}
	return err
}
