package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// bodySchema is what a description says of a body or of a part of it.
type bodySchema struct {
	Ref        string                `json:"$ref"`
	AnyOf      []bodySchema          `json:"anyOf"`
	Properties map[string]bodySchema `json:"properties"`
	Items      *bodySchema           `json:"items"`
}

// TestEveryBodySuggestsTheNearestField mistypes every field of every body, at every depth, all
// at once: the refusal names each by its path, with the field that was meant.
func TestEveryBodySuggestsTheNearestField(t *testing.T) {
	var document struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct{ Schema bodySchema }
			}
		}
		Components struct{ Schemas map[string]bodySchema }
	}
	text, err := os.ReadFile(filepath.Join("..", "..", testkit.Document))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &document))

	// mistyped makes a value with every field's name wrong, and beside it, where the field holds
	// further ones, the right name with such a value. want collects the messages; within counts
	// the schemas that it is in.
	within := map[string]int{}
	var mistyped func(of bodySchema, at string, want *[]string) any
	mistyped = func(of bodySchema, at string, want *[]string) any {
		switch {
		case of.Ref != "":
			if within[of.Ref] > 1 {
				return nil // a schema that holds itself, such as a place's, is read alike at every depth
			}
			within[of.Ref]++
			defer func() { within[of.Ref]-- }()
			return mistyped(document.Components.Schemas[of.Ref[strings.LastIndexByte(of.Ref, '/')+1:]], at, want)
		case len(of.AnyOf) > 0:
			for _, choice := range of.AnyOf {
				if value := mistyped(choice, at, want); value != nil {
					return value
				}
			}
		case of.Items != nil:
			if value := mistyped(*of.Items, at+"[0]", want); value != nil {
				return []any{value}
			}
		case len(of.Properties) > 0:
			value := map[string]any{}
			for name, below := range of.Properties {
				value[name+"x"] = 1
				path := name
				if at != "" {
					path = at + "." + name
				}
				*want = append(*want, path+"x is not a field of this request; did you mean "+name+"?")
				if inner := mistyped(below, path, want); inner != nil {
					value[name] = inner
				}
			}
			return value
		}
		return nil
	}

	g := newGuarded(t, testkit.Open(t, testkit.SQLite(t)))
	bodies := 0
	for path, methods := range document.Paths {
		for method, operation := range methods {
			of, has := operation.RequestBody.Content["application/json"]
			if !has {
				continue
			}
			bodies++
			name := strings.ToUpper(method) + " " + path
			var want []string
			body, err := json.Marshal(mistyped(of.Schema, "", &want))
			require.NoError(t, err)
			path := regexp.MustCompile(`\{(\w+)\}`).ReplaceAllString(path, "0190a1b2-0000-7000-8000-000000000001")
			status, answer := g.call(strings.ToUpper(method), path, "bootstrap", string(body))
			require.Equal(t, http.StatusBadRequest, status, "%s: %s", name, answer)
			var refusal struct {
				Error struct {
					Details []struct{ Field, Message string }
				}
			}
			require.NoError(t, json.Unmarshal(answer, &refusal))
			var got []string
			for _, d := range refusal.Error.Details {
				got = append(got, d.Field+" "+d.Message)
			}
			require.Subset(t, got, want, name)
		}
	}
	require.Greater(t, bodies, 15)
}
