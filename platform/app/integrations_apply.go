package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/strictjson"
)

// Confirm asks the person at the terminal; its error says that the answer was no, or that
// nobody could be asked.
type Confirm func() error

// ApplyOptions are the options of `gateway integrations apply`.
type ApplyOptions struct {
	IntegrationOptions
	Path   string
	DryRun bool
	Confirm
}

// applied is the JSON output.
type applied struct {
	Applied bool                `json:"applied"`
	Steps   []integrations.Step `json:"steps"`
}

// errPlanChanged is returned if the records changed after the plan was printed.
var errPlanChanged = errors.New("the integrations changed meanwhile, so the plan is outdated and nothing was done: run it again")

// ApplyIntegrations changes the records to match a file: it prints a plan, asks for
// confirmation, and applies all of its steps or none.
func ApplyIntegrations(ctx context.Context, cfg config.Config, log *slog.Logger, o ApplyOptions) error {
	list, err := readIntegrations(o.Path)
	if err != nil {
		return lineByLine(err)
	}
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		var steps []integrations.Step
		err := g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			steps, err = g.integrations.Plan(ctx, tx, list)
			return err
		})
		if err != nil {
			return err
		}
		if err := o.printPlan(steps); err != nil || len(steps) == 0 || o.DryRun {
			return err
		}
		if err := o.Confirm(); err != nil {
			return err
		}
		err = g.db.InTx(ctx, func(tx *database.Tx) error {
			again, err := g.integrations.Plan(ctx, tx, list)
			switch {
			case err != nil:
				return err
			case !slices.EqualFunc(steps, again, func(a, b integrations.Step) bool { return a.String() == b.String() }):
				return errPlanChanged
			}
			return g.integrations.Apply(ctx, tx, again)
		})
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, applied{true, steps})
		}
		_, err = fmt.Fprintf(o.Out, "applied %s\n", count(len(steps), "change"))
		return err
	})
}

// printPlan prints the plan.
func (o ApplyOptions) printPlan(steps []integrations.Step) error {
	if o.JSON {
		if len(steps) == 0 || o.DryRun {
			return printJSON(o.Out, applied{false, append([]integrations.Step{}, steps...)})
		}
		return nil // the result contains it
	}
	if len(steps) == 0 {
		_, err := fmt.Fprintln(o.Out, "nothing to do: everything matches the file")
		return err
	}
	for _, s := range steps {
		if _, err := fmt.Fprintln(o.Out, s); err != nil {
			return err
		}
	}
	return nil
}

// readIntegrations reads a file of integrations, with the secrets that it references.
func readIntegrations(path string) ([]integrations.IntegrationConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the file of integrations: %w", err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	refs := references{dir: filepath.Dir(path)}
	items, _ := document["integrations"].([]any)
	for i, item := range items {
		refs.integration(fmt.Sprintf("integrations[%d]", i), item)
	}
	plain, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("%s: every key must be text", path)
	}
	var read struct {
		Integrations []integrations.IntegrationConfig `json:"integrations"`
	}
	wrong := slices.Concat(refs.wrong, strictjson.Read(plain, &read))
	if listed, is := document["integrations"].([]any); len(listed) == 0 && (is || document["integrations"] == nil) {
		wrong = append(wrong, fault.Field{Field: "integrations", Message: "must be a list with at least one integration"})
	}
	if len(wrong) > 0 {
		return nil, httpapi.Invalid(wrong)
	}
	return read.Integrations, nil
}
