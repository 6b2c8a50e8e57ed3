package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	specs "github.com/oasdiff/oasdiff/load"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// TestTheDescriptionBreaksNoReleasedClient compares the API's description with that of the last
// release, which is the one of the newest tag without a suffix.
func TestTheDescriptionBreaksNoReleasedClient(t *testing.T) {
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", args...) //nolint:gosec // the arguments are below
		cmd.Dir = ".."
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	shallow, err := git("rev-parse", "--is-shallow-repository")
	if err != nil {
		t.Skip("this is no Git repository, so the last release is unknown")
	}
	if shallow == "true" {
		onlyOnCI(t, "the repository has no tags: fetch its whole history (fetch-depth: 0)")
	}
	tags, err := git("tag", "--merged", "HEAD", "--list", "v*", "--sort=-version:refname")
	require.NoError(t, err)
	releases := slices.DeleteFunc(strings.Fields(tags), func(tag string) bool { return strings.Contains(tag, "-") })
	if len(releases) == 0 {
		t.Skip("there is no release yet that a change could break")
	}
	released, err := git("show", releases[0]+":"+testkit.Document)
	require.NoError(t, err)
	now, err := os.ReadFile(filepath.Join("..", testkit.Document))
	require.NoError(t, err)
	require.Empty(t, breaking(t, []byte(released), now), "clients of %s would break", releases[0])
}

// breaking lists what breaks a client of one description when the API becomes the other. A
// parameter or field of requests that is removed does, since the API refuses unknown ones.
func breaking(t *testing.T, before, after []byte) []string {
	t.Helper()
	read := func(text []byte) []*specs.SpecInfo {
		spec, err := openapi3.NewLoader().LoadFromData(text)
		require.NoError(t, err)
		return []*specs.SpecInfo{{Spec: spec}}
	}
	changes, sources, err := diff.GetPathsDiff(diff.NewConfig(), read(before), read(after))
	require.NoError(t, err)
	var found []string
	for _, c := range checker.CheckBackwardCompatibilityUntilLevel(checker.NewConfig(checker.GetAllChecks()), changes, sources, checker.WARN) {
		found = append(found, c.GetOperation()+" "+c.GetPath()+": "+c.GetUncolorizedText(checker.NewDefaultLocalizer()))
	}
	return found
}

// part is one object of a description.
type part = map[string]any

// in returns the object at a path.
func in(document part, path ...string) part {
	for _, name := range path {
		document, _ = document[name].(part)
	}
	return document
}

func TestABreakingChangeIsFound(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", testkit.Document))
	require.NoError(t, err)
	// The document with a few of its paths: reading all of it takes long.
	read := func(change func(part)) []byte {
		var document part
		require.NoError(t, json.Unmarshal(text, &document))
		for path := range in(document, "paths") {
			if !slices.Contains([]string{"/api/v1/deliveries", "/api/v1/integrations", "/api/v1/events/{id}/replay"}, path) {
				delete(in(document, "paths"), path)
			}
		}
		change(document)
		changed, err := json.Marshal(document)
		require.NoError(t, err)
		return changed
	}
	before := read(func(part) {})
	require.Empty(t, breaking(t, before, before))
	without := func(list any, name string) []any {
		return slices.DeleteFunc(slices.Clone(list.([]any)), func(one any) bool { //nolint:errcheck,forcetypeassert // as the document has it
			parameter, _ := one.(part)
			return one == name || parameter["name"] == name
		})
	}
	for name, c := range map[string]struct {
		change func(part)
		says   string
	}{
		"a field of answers is removed": {func(d part) {
			attempt := in(d, "components", "schemas", "Attempt")
			delete(in(attempt, "properties"), "durationMs")
			attempt["required"] = without(attempt["required"], "durationMs")
		}, "durationMs"},
		"a field of answers has another type": {func(d part) { in(d, "components", "schemas", "Attempt", "properties", "durationMs")["type"] = "string" }, "durationMs"},
		"a field of answers may be null": {func(d part) {
			in(d, "components", "schemas", "Attempt", "properties", "durationMs")["type"] = []any{"integer", "null"}
		}, "durationMs"},
		"a path is removed":    {func(d part) { delete(in(d, "paths"), "/api/v1/deliveries") }, "path removed"},
		"a method is removed":  {func(d part) { delete(in(d, "paths", "/api/v1/integrations"), "post") }, "removed"},
		"a success is removed": {func(d part) { delete(in(d, "paths", "/api/v1/events/{id}/replay", "post", "responses"), "202") }, "202"},
		"a parameter is removed": {func(d part) {
			list := in(d, "paths", "/api/v1/deliveries", "get")
			list["parameters"] = without(list["parameters"], "httpStatus")
		}, "httpStatus"},
		"a field of requests is removed": {func(d part) { delete(in(d, "components", "schemas", "NewIntegration", "properties"), "name") }, "name"},
		"a field of requests becomes required": {func(d part) {
			body := in(d, "components", "schemas", "NewIntegration")
			body["required"] = append(without(body["required"], ""), "name")
		}, "name"},
	} {
		found := breaking(t, before, read(c.change))
		require.NotEmpty(t, found, name)
		require.Contains(t, strings.Join(found, "\n"), c.says, name)
	}
	require.Empty(t, breaking(t, before, read(func(d part) {
		in(d, "components", "schemas", "Attempt", "properties")["more"] = part{"type": "string"}
		list := in(d, "paths", "/api/v1/deliveries", "get")
		list["parameters"] = append(without(list["parameters"], ""), part{"name": "more", "in": "query", "schema": part{"type": "string"}})
		in(d, "components", "schemas", "NewIntegration", "properties")["more"] = part{"type": "string"}
	})), "what is added breaks nobody")
}
