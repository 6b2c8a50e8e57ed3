package integrations

import (
	"context"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// destinations stands for delivery's: it wants a URL, and keeps rows where the real one
// does, so that a transaction that fails leaves none. It tells of two for each integration
// that is not idle.
type destinations struct {
	idle    map[string]bool
	closed  []string // what was said of open jobs
	tested  []contract.DestinationTest
	paused  []contract.PauseOrder
	failure error // of making destinations and closing integrations
}

func (d *destinations) Destinations(_ context.Context, integrationIDs []string) ([]contract.Destination, error) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var all []contract.Destination
	for _, i := range integrationIDs {
		if !d.idle[i] {
			all = append(all,
				contract.Destination{ID: i, IntegrationID: i, URL: "https://user:hunter2@example.com/in", IsActive: true, Mode: contract.ModeCanonical, Auth: "none", Breaker: "closed", CreatedAt: at, UpdatedAt: at},
				contract.Destination{ID: i, IntegrationID: i, URL: "https://example.com/second", Mode: contract.ModeCanonical, Auth: "none", Breaker: "closed", CreatedAt: at, UpdatedAt: at})
		}
	}
	return all, nil
}

func (d *destinations) CheckDestination(c contract.DestinationConfig) error {
	if c.URL == nil || *c.URL == "" {
		return httpapi.Invalid([]fault.Field{{Field: "url", Message: "is required"}})
	}
	return nil
}

func (d *destinations) AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error) {
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

func (d *destinations) ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error {
	return d.update(ctx, tx, `UPDATE destinations SET url = $3 WHERE id = $1 AND integration_id = $2`, destinationID, integrationID, *c.URL)
}

func (d *destinations) RemoveDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	d.closed = append(d.closed, string(jobs))
	return d.update(ctx, tx, `DELETE FROM destinations WHERE id = $1 AND integration_id = $2`, destinationID, integrationID)
}

func (d *destinations) TestDestination(_ context.Context, t contract.DestinationTest) (contract.DestinationTested, error) {
	d.tested = append(d.tested, t)
	return contract.DestinationTested{DestinationID: t.DestinationID, EventID: id.New(), Headers: map[string]string{}}, d.failure
}

func (d *destinations) ProbeDestination(_ context.Context, _, destinationID string) (contract.DestinationProbe, error) {
	return contract.DestinationProbe{DestinationID: destinationID, Breaker: "open"}, d.failure
}

func (d *destinations) PauseDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, o contract.PauseOrder) error {
	d.paused = append(d.paused, o)
	return d.update(ctx, tx, `UPDATE destinations SET is_active = false WHERE id = $1 AND integration_id = $2`, destinationID, integrationID)
}

func (d *destinations) ResumeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string) error {
	return d.update(ctx, tx, `UPDATE destinations SET is_active = true WHERE id = $1 AND integration_id = $2`, destinationID, integrationID)
}

func (d *destinations) DestinationChanges(context.Context, *database.Tx, string, string, contract.DestinationConfig) ([]string, error) {
	return nil, nil
}

func (d *destinations) RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error) {
	return "whsec_rotated", d.update(ctx, tx, `UPDATE destinations SET signing_secret = 'new' WHERE id = $1 AND integration_id = $2`, destinationID, integrationID)
}

func (d *destinations) RawDestinations(ctx context.Context, tx *database.Tx, integrationID string) (ids []string, err error) {
	return ids, tx.Select(ctx, &ids, `SELECT id FROM destinations WHERE integration_id = $1 AND mode = 'raw'`, integrationID)
}

func (d *destinations) CloseIntegration(_ context.Context, _ *database.Tx, _ string, jobs contract.OpenJobs) error {
	d.closed = append(d.closed, string(jobs))
	return d.failure
}

func (d *destinations) update(ctx context.Context, tx *database.Tx, query, destinationID string, args ...any) error {
	n, err := tx.Exec(ctx, query, append([]any{destinationID}, args...)...)
	if err == nil && n == 0 {
		err = fault.NotFound.New("destination_not_found", "The integration has no destination %s.", destinationID)
	}
	return err
}
