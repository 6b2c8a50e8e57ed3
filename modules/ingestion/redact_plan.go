package ingestion

import (
	"context"
	"fmt"
	"slices"

	"integration-gateway/platform/contract"
)

// checkRaw finds destinations that would be in raw mode beside a redaction once the plan
// is carried out.
func (p *planner) checkRaw(ctx context.Context, row integrationRow, c IntegrationConfig, wrong *mistakes) error {
	redacts := row.redacts()
	if c.Redact != nil {
		redacts = len(c.Redact) > 0
	}
	if !redacts {
		return nil
	}
	existing, err := p.d.Deliveries.Destinations(ctx, []string{row.ID})
	if err != nil {
		return err
	}
	existing = slices.DeleteFunc(existing, func(d contract.Destination) bool { return d.Mode != contract.ModeRaw })
	if c.Destinations == nil {
		for _, d := range existing {
			wrong.add("redact", "cannot be while the destination %s is in raw mode: %s; give it the mode canonical", withoutPassword(d.URL), rawBesideRedaction)
		}
		return nil
	}
	for i, d := range c.Destinations {
		path := fmt.Sprintf("destinations[%d].", i)
		if c.Redact == nil {
			checkRawMode(path, true, d, wrong)
		}
		stays := slices.ContainsFunc(existing, func(e contract.Destination) bool { return d.URL != nil && e.URL == *d.URL })
		if d.Mode == nil && stays {
			wrong.add(path+"mode", "is raw, and must be canonical: %s", rawBesideRedaction)
		}
	}
	return nil
}
