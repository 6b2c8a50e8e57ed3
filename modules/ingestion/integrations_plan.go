package ingestion

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
	"integration-gateway/platform/strictjson"
)

// Step is one thing to be done so that the records are as a description says.
type Step struct {
	Source string `json:"source"`
	Sign   string `json:"sign"` // + for what is added, ~ for what is changed, - for what is removed
	Text   string `json:"text"`

	do func(ctx context.Context, tx *database.Tx) error
}

func (s Step) String() string { return s.Sign + " " + s.Source + ": " + s.Text }

// planner collects the steps and mistakes of one description.
type planner struct {
	*Module
	tx    *database.Tx
	steps []Step
	wrong mistakes
}

func (p *planner) step(source, sign, text string, do func(ctx context.Context, tx *database.Tx) error) {
	p.steps = append(p.steps, Step{source, sign, text, do})
}

// Plan compares integrations with how they are described, and gives the steps that make
// them so; none when they are. What a description does not mention stays as it is, and so
// do integrations that it does not name. Its secrets are all that an integration shall
// have, and so are its destinations, which are told apart by their URL. The fault.Invalid
// names every mistake, below integrations.
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

// Apply takes the steps that Plan gave, in its transaction.
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
	lasting := p.lasting(c.Secrets)
	wrong, err := check(p.withoutPast(c))
	if err != nil {
		return err
	}
	if len(c.Secrets) > 0 && len(lasting) == 0 {
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
	if len(c.Redact) > 0 { // a destination leaves the raw mode before its integration redacts
		return errors.Join(p.secrets(ctx, *row, c), p.destinations(ctx, *row, c), p.change(*row, c))
	}
	return errors.Join(p.change(*row, c), p.secrets(ctx, *row, c), p.destinations(ctx, *row, c))
}

func (p *planner) past(s SecretConfig) bool {
	return s.ExpiresAt != nil && !s.ExpiresAt.After(p.tx.Now)
}

// lasting leaves out secrets whose time is over: a description that was right stays right.
func (p *planner) lasting(secrets []SecretConfig) []SecretConfig {
	return slices.DeleteFunc(slices.Clone(secrets), p.past)
}

// withoutPast is c for the check, where an expiry in the past is no mistake.
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
	var row integrationRow
	switch err := p.tx.Get(ctx, &row, selectBySourceSQL+p.tx.Dialect.ForUpdate, source); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // it is to be made
	case err != nil:
		return nil, fmt.Errorf("find integration: %w", err)
	}
	return &row, nil
}

// checkAgainst finds what is wrong with c given what there is.
func (p *planner) checkAgainst(row *integrationRow, c IntegrationConfig, wrong *mistakes) {
	if row != nil && row.ArchivedAt != nil {
		wrong.add("source", "was removed; its events keep the name, so choose another")
	}
	if row != nil && c.Provider != row.Provider {
		wrong.add("provider", "is %s and cannot be changed; set up another source", row.Provider)
	}
	for i, d := range c.Destinations {
		for j := range i {
			if d.URL != nil && c.Destinations[j].URL != nil && *d.URL == *c.Destinations[j].URL {
				wrong.add(fmt.Sprintf("destinations[%d].url", i), "is the same as that of destinations[%d], and they are told apart by it", j)
			}
		}
	}
}

// described says in short what a new integration is.
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
	p.step(row.Source, "~", strings.Join(changed, ", "), func(ctx context.Context, tx *database.Tx) error {
		return p.ChangeIntegration(ctx, tx, id, change)
	})
	return nil
}

// destinations plans those that c lists, unless it lists none at all.
func (p *planner) destinations(ctx context.Context, row integrationRow, c IntegrationConfig) error {
	if c.Destinations == nil {
		return nil
	}
	existing, err := p.d.Deliveries.Destinations(ctx, []string{row.ID})
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
