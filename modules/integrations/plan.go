package integrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/strictjson"
)

// Step is one change that a plan makes.
type Step struct {
	Source string `json:"source"`
	Sign   string `json:"sign"` // + adds, ~ changes, - removes
	Text   string `json:"text"`

	do func(ctx context.Context, tx *database.Tx) error
}

func (s Step) String() string { return s.Sign + " " + s.Source + ": " + s.Text }

// planner collects the steps and violations of one description.
type planner struct {
	*Module
	tx    *database.Tx
	steps []Step
	wrong violations
}

func (p *planner) step(source, sign, text string, do func(ctx context.Context, tx *database.Tx) error) {
	p.steps = append(p.steps, Step{source, sign, text, do})
}

// Plan compares integrations with their descriptions and returns the steps that make them
// match, if any. Fields and integrations that are not described stay unchanged. Lists of
// secrets and destinations are complete: others are removed. A destination is identified by
// its URL. Plan returns a fault.Invalid with every violation, below integrations.
func (m *Module) Plan(ctx context.Context, tx *database.Tx, list []IntegrationConfig) ([]Step, error) {
	p := &planner{Module: m, tx: tx}
	at := map[string]int{}
	for i, c := range list {
		path := fmt.Sprintf("integrations[%d]", i)
		if first, twice := at[c.Source]; twice && c.Source != "" {
			p.wrong.add(path+".source", "is the same as that of integrations[%d]", first)
			continue
		}
		at[c.Source] = i
		if err := p.integration(ctx, path, c); err != nil {
			return nil, err
		}
	}
	if len(p.wrong) > 0 {
		return nil, httpapi.Invalid(p.wrong)
	}
	return p.steps, nil
}

// Apply carries out the steps of Plan, in its transaction.
func (m *Module) Apply(ctx context.Context, tx *database.Tx, steps []Step) error {
	for _, s := range steps {
		if err := s.do(ctx, tx); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (p *planner) integration(ctx context.Context, path string, c IntegrationConfig) error {
	row, err := p.existing(ctx, c.Source)
	if err != nil {
		return err
	}
	check := p.checkIntegration
	if row != nil {
		check = p.checkWhole
		if c.Provider == "" {
			c.Provider = row.Provider
		}
	}
	lasting := p.unexpired(c.Secrets)
	wrong, err := check(p.withoutPast(c))
	if err != nil {
		return err
	}
	if len(c.Secrets) > 0 && !noneProves(c.Secrets) && noneProves(lasting) {
		wrong.add("secrets", "must hold at least one secret that has not expired")
	}
	c.Secrets = lasting
	p.checkAgainst(row, c, &wrong)
	if row != nil {
		if err := p.checkRaw(ctx, *row, c, &wrong); err != nil {
			return err
		}
	}
	for _, w := range wrong {
		p.wrong.add(strictjson.Join(path, w.Field), "%s", w.Message)
	}
	switch {
	case len(wrong) > 0:
		return nil
	case row == nil:
		p.step(c.Source, "+", p.described(c), func(ctx context.Context, tx *database.Tx) error {
			_, err := p.CreateIntegration(ctx, tx, c)
			return err
		})
		return nil
	}
	if len(c.Redact) > 0 { // a destination must leave raw mode before its integration redacts
		return errors.Join(p.secrets(ctx, *row, c), p.destinations(ctx, *row, c), p.change(*row, c))
	}
	return errors.Join(p.change(*row, c), p.secrets(ctx, *row, c), p.destinations(ctx, *row, c))
}

func (p *planner) past(s SecretConfig) bool {
	return s.ExpiresAt != nil && !s.ExpiresAt.After(p.tx.Now)
}

// unexpired omits expired secrets, so that a description stays valid when one expires.
func (p *planner) unexpired(secrets []SecretConfig) []SecretConfig {
	return slices.DeleteFunc(slices.Clone(secrets), p.past)
}

// withoutPast is c for the check, where a past expiry is not a violation.
func (p *planner) withoutPast(c IntegrationConfig) IntegrationConfig {
	c.Secrets = slices.Clone(c.Secrets)
	for i := range c.Secrets {
		if p.past(c.Secrets[i]) {
			c.Secrets[i].ExpiresAt = nil
		}
	}
	return c
}

const selectBySourceSQL = `
SELECT ` + integrationColumns + `
FROM   integrations
WHERE  source = $1 `

func (p *planner) existing(ctx context.Context, source string) (*integrationRow, error) {
	if !provider.ValidSourceName(source) {
		return nil, nil //nolint:nilnil // none has such a name, and not every database takes it as a parameter
	}
	var row integrationRow
	switch err := p.tx.Get(ctx, &row, selectBySourceSQL+p.tx.Dialect.ForUpdate, source); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // it will be created
	case err != nil:
		return nil, fmt.Errorf("find integration: %w", err)
	}
	return &row, nil
}

// checkAgainst validates c against the existing integration.
func (p *planner) checkAgainst(row *integrationRow, c IntegrationConfig, wrong *violations) {
	if row != nil && row.ArchivedAt != nil {
		wrong.add("source", "was removed, and its events keep the name; choose another")
	}
	if row != nil && c.Provider != row.Provider {
		wrong.add("provider", "is %s and cannot be changed; create another source", row.Provider)
	}
	for i, d := range c.Destinations {
		for j := range i {
			if d.URL != nil && c.Destinations[j].URL != nil && *d.URL == *c.Destinations[j].URL {
				wrong.add(fmt.Sprintf("destinations[%d].url", i), "is the same as that of destinations[%d]; each destination needs its own URL", j)
			}
		}
	}
}

// described summarises a new integration.
func (p *planner) described(c IntegrationConfig) string {
	text := fmt.Sprintf("integration of %s, with %s", c.Provider, counted(len(c.Secrets), "secret"))
	for _, d := range c.Destinations {
		text += ", to " + withoutPassword(*d.URL)
	}
	return text
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (p *planner) change(row integrationRow, c IntegrationConfig) error {
	id, change := row.ID, c.change()
	changed, err := row.apply(change)
	if err != nil || len(changed) == 0 {
		return err
	}
	text := strings.Join(changed, ", ")
	if slices.Contains(changed, "isActive") && !row.IsActive {
		text += " (it is disabled: " + p.whileDisabled() + ")"
	}
	p.step(row.Source, "~", text, func(ctx context.Context, tx *database.Tx) error {
		return p.ChangeIntegration(ctx, tx, id, change)
	})
	return nil
}

// destinations plans the destinations of c; a nil list changes nothing.
func (p *planner) destinations(ctx context.Context, row integrationRow, c IntegrationConfig) error {
	if c.Destinations == nil {
		return nil
	}
	existing, err := p.d.Destinations.Destinations(ctx, []string{row.ID})
	if err != nil {
		return err
	}
	for _, d := range c.Destinations {
		at := slices.IndexFunc(existing, func(e contract.Destination) bool { return e.URL == *d.URL })
		if at < 0 {
			p.step(row.Source, "+", "destination "+withoutPassword(*d.URL), func(ctx context.Context, tx *database.Tx) error {
				_, err := p.AddDestination(ctx, tx, row.ID, d)
				return err
			})
			continue
		}
		known := existing[at]
		existing = slices.Delete(existing, at, at+1)
		fields, err := p.d.Destinations.DestinationChanges(ctx, p.tx, row.ID, known.ID, d)
		if err != nil {
			return err
		}
		if len(fields) > 0 {
			p.step(row.Source, "~", "destination "+withoutPassword(known.URL)+": "+strings.Join(fields, ", "), func(ctx context.Context, tx *database.Tx) error {
				return p.ChangeDestination(ctx, tx, row.ID, known.ID, d)
			})
		}
	}
	for _, e := range existing {
		p.step(row.Source, "-", "destination "+withoutPassword(e.URL), func(ctx context.Context, tx *database.Tx) error {
			return p.RemoveDestination(ctx, tx, row.ID, e.ID, contract.FinishJobs)
		})
	}
	return nil
}
