package schema_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"integration-gateway/platform/provider/schema"
)

var update = flag.Bool("update", false, "write docs/provider-definition.schema.json")

func TestTheSchemaIsPublished(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "provider-definition.schema.json")
	if *update {
		require.NoError(t, os.WriteFile(path, schema.JSON(), 0o600))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(schema.JSON()), string(text), "update it: go test ./platform/provider/schema -update")
}

func compiled(t *testing.T) *jsonschema.Schema {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(schema.JSON())))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("definition.json", document))
	made, err := compiler.Compile("definition.json")
	require.NoError(t, err)
	return made
}

func value(t *testing.T, text string) any {
	var read any
	require.NoError(t, yaml.Unmarshal([]byte(text), &read))
	data, err := json.Marshal(read)
	require.NoError(t, err)
	again, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	require.NoError(t, err)
	return again
}

func TestShippedDefinitionsFitTheSchema(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "definitions", "*.yaml"))
	require.NoError(t, err)
	require.Greater(t, len(files), 40)
	made := compiled(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, made.Validate(value(t, string(text))), file)
	}
}

func TestMistakesDoNotFitTheSchema(t *testing.T) {
	made := compiled(t)
	for _, text := range []string{
		`{name: a, event: {type: $.t}, schem: hmac}`, `{event: {type: $.t}}`, `{name: a, event: {}}`, `{name: a, scheme: md5, event: {type: $.t}}`,
		`{name: a, event: {type: {mtch: x}}}`, `{name: a, event: {type: $.t}, signature: {hash: md5}}`, `{name: a, event: {type: 1}}`,
	} {
		require.Error(t, made.Validate(value(t, text)), text)
	}
}
