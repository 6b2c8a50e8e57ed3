package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"integration-gateway/platform/httpapi"
)

// Confirm asks the person at the terminal; its error says that the answer was no, or that
// nobody could be asked.
type Confirm func() error

// ReadIntegrations reads a file of integrations, with the secrets that it references. Its
// fields are checked by the API.
func ReadIntegrations(path string) ([]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the file of integrations: %w", err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	refs := references{dir: filepath.Dir(path)}
	items, isList := document["integrations"].([]any)
	if !isList || len(items) == 0 {
		refs.fail("integrations", "must be a list with at least one integration")
	}
	for name := range document {
		if name != "integrations" {
			refs.fail(name, "is not a field; the file has only integrations")
		}
	}
	for i, item := range items {
		refs.integration(fmt.Sprintf("integrations[%d]", i), item)
	}
	if len(refs.wrong) > 0 {
		return nil, lineByLine(httpapi.Invalid(refs.wrong))
	}
	if _, err := json.Marshal(items); err != nil {
		return nil, fmt.Errorf("%s: every key must be text", path)
	}
	return items, nil
}
