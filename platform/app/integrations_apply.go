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

	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/strictjson"
)

// Confirm asks whoever sits at the terminal; its error says that the answer was no, or
// that nobody could be asked.
type Confirm func() error

// ApplyOptions are what `gateway integrations apply` is told.
type ApplyOptions struct {
	IntegrationOptions
	Path   string
	DryRun bool
	Confirm
}

// applied is the answer in JSON.
type applied struct {
	Applied bool             `json:"applied"`
	Steps   []ingestion.Step `json:"steps"`
}

// errPlanChanged answers when the records changed while the plan was looked at.
var errPlanChanged = errors.New("something was changed in between, so that the plan is no longer right; nothing was done: run it again")

// ApplyIntegrations makes the records as a file describes them: it prints a plan, asks,
// and takes all of its steps or none.
func ApplyIntegrations(ctx context.Context, cfg config.Config, log *slog.Logger, o ApplyOptions) error {
	list, err := readIntegrations(o.Path)
	if err != nil {
		return lineByLine(err)
	}
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		var steps []ingestion.Step
		err := g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			steps, err = g.ingestion.Plan(ctx, tx, list)
			return err
		})
		if err != nil {
			return err
		}
		if err := o.tell(steps); err != nil || len(steps) == 0 || o.DryRun {
			return err
		}
		if err := o.Confirm(); err != nil {
			return err
		}
		err = g.db.InTx(ctx, func(tx *database.Tx) error {
			again, err := g.ingestion.Plan(ctx, tx, list)
			switch {
			case err != nil:
				return err
			case !slices.EqualFunc(steps, again, func(a, b ingestion.Step) bool { return a.String() == b.String() }):
				return errPlanChanged
			}
			return g.ingestion.Apply(ctx, tx, again)
		})
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, applied{true, steps})
		}
		_, err = fmt.Fprintf(o.Out, "%d done\n", len(steps))
		return err
	})
}

// tell prints the plan.
func (o ApplyOptions) tell(steps []ingestion.Step) error {
	if o.JSON {
		if len(steps) == 0 || o.DryRun {
			return printJSON(o.Out, applied{false, append([]ingestion.Step{}, steps...)})
		}
		return nil // the answer holds it
	}
	if len(steps) == 0 {
		_, err := fmt.Fprintln(o.Out, "nothing to do: everything is as the file says")
		return err
	}
	for _, s := range steps {
		if _, err := fmt.Fprintln(o.Out, s); err != nil {
			return err
		}
	}
	return nil
}

// readIntegrations reads a file of integrations, with the secrets that it refers to.
func readIntegrations(path string) ([]ingestion.IntegrationConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the file of integrations: %w", err)
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
		Integrations []ingestion.IntegrationConfig `json:"integrations"`
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
