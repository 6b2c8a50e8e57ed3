package integrations

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/redaction"
)

// parseRedaction parses an integration's JSON paths.
func parseRedaction(paths []string) (all redaction.Paths, err error) {
	for i, path := range paths {
		one, err := redaction.ParsePath(path)
		if err != nil {
			return all, fmt.Errorf("redact[%d] %w", i, err)
		}
		all = all.And(one)
	}
	return all, nil
}

// readRedact decodes the column.
func readRedact(text string) (paths []string, err error) {
	if err := json.Unmarshal([]byte(text), &paths); err != nil {
		return nil, fmt.Errorf("read the redaction: %w", err)
	}
	return paths, nil
}

// checkRedact rejects invalid paths, and paths that reach an event's id or type. spec is nil
// if it is invalid itself.
func checkRedact(spec *provider.Spec, paths []string, wrong *violations) {
	if len(paths) > redaction.MaxPaths {
		wrong.add("redact", "must be at most %d paths", redaction.MaxPaths)
		return
	}
	for i, path := range paths {
		field := fmt.Sprintf("redact[%d]", i)
		one, err := redaction.ParsePath(path)
		if err == nil && spec != nil {
			err = spec.CheckRedaction(one)
		}
		if err != nil {
			wrong.add(field, "%s", err)
		}
	}
}

// rawBesideRedaction is why an integration that redacts has no destination in raw mode.
const rawBesideRedaction = "raw mode sends the provider's own body, which an integration with redactions does not store"

// checkRawMode rejects raw mode for a new destination of an integration that redacts.
func checkRawMode(path string, redacts bool, c contract.DestinationConfig, wrong *violations) {
	if redacts && c.Mode != nil && *c.Mode == contract.ModeRaw {
		wrong.add(path+"mode", "cannot be raw: %s; use the mode canonical, or remove the paths in redact", rawBesideRedaction)
	}
}

// checkRedactChange validates the redaction of an integration after a change, against its
// options and its destinations.
func (m *Module) checkRedactChange(ctx context.Context, tx *database.Tx, i integrationRow, c IntegrationChange, wrong *violations) error {
	if c.Redact == nil && c.Options == nil {
		return nil
	}
	if c.Redact != nil {
		text, _ := json.Marshal(c.Redact) // strings always marshal
		i.Redact = string(text)
	}
	if c.Options != nil {
		text, err := json.Marshal(c.Options)
		if err != nil {
			return fmt.Errorf("write the options: %w", err)
		}
		i.Options = string(text)
	}
	paths, err := readRedact(i.Redact)
	if err != nil {
		return err
	}
	checkRedact(i.spec(m.d.Providers), paths, wrong)
	if len(paths) == 0 {
		return nil
	}
	raw, err := m.d.Destinations.RawDestinations(ctx, tx, i.ID)
	if len(raw) > 0 {
		wrong.add("redact", "is not possible while the destination %s is in raw mode: %s; change its mode to canonical, or remove it", raw[0], rawBesideRedaction)
	}
	return err
}

// redacts reports whether the row's integration redacts anything. An unreadable redaction
// counts.
func (r integrationRow) redacts() bool {
	paths, err := readRedact(r.Redact)
	return err != nil || len(paths) > 0
}

// shownRedact returns the paths, or null if the column is unreadable.
func (r integrationRow) shownRedact() []string {
	paths, err := readRedact(r.Redact)
	if err != nil {
		return nil
	}
	return httpapi.OrEmpty(slices.Clone(paths))
}

// checkRaw rejects a plan that would combine a redaction with a destination in raw mode.
func (p *planner) checkRaw(ctx context.Context, row integrationRow, c IntegrationConfig, wrong *violations) error {
	redacts := row.redacts()
	if c.Redact != nil {
		redacts = len(c.Redact) > 0
	}
	if !redacts {
		return nil
	}
	existing, err := p.d.Destinations.Destinations(ctx, []string{row.ID})
	if err != nil {
		return err
	}
	existing = slices.DeleteFunc(existing, func(d contract.Destination) bool { return d.Mode != contract.ModeRaw })
	if c.Destinations == nil {
		for _, d := range existing {
			wrong.add("redact", "is not possible while the destination %s is in raw mode: %s; set its mode to canonical", withoutPassword(d.URL), rawBesideRedaction)
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
			wrong.add(path+"mode", "must be canonical, not raw: %s", rawBesideRedaction)
		}
	}
	return nil
}
