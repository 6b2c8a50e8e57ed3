package provider

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "update docs/providers.md from the specs")

// The generated part of the document is between these lines.
const (
	documentBegin = "<!-- providers: go test ./platform/provider -run TestTheDocument -update -->"
	documentEnd   = "<!-- end of providers -->"
)

func TestTheDocumentMatchesTheSpecs(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "providers.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, begins := strings.Cut(string(text), documentBegin)
	_, after, ends := strings.Cut(rest, documentEnd)
	require.True(t, begins && ends, "%s has the two lines", path)
	want := before + documentBegin + "\n\n" + chapter() + documentEnd + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "update it: go test ./platform/provider -run TestTheDocument -update")
}

// chapter is the generated part.
func chapter() string {
	var b strings.Builder
	b.WriteString("| provider | signature | tolerance | event id |\n| --- | --- | --- | --- |\n")
	specs := Builtin().Specs()
	for _, s := range specs {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", s.Name, s.Name, proof(s), tolerance(s), place(s.Events.ID))
	}
	b.WriteString("\nWhat each is made of, the recorded requests that the tests hold it to, and what its scheme was checked against:\n\n" +
		"| provider | made of | recorded requests | checked against |\n| --- | --- | --- | --- |\n")
	for _, s := range specs {
		if s.Name != genericName {
			fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", s.Name, s.Name, madeOf(s), recordedCases(s), checkedAgainst(s))
		}
	}
	for _, s := range specs {
		b.WriteString("\n### " + s.Name + "\n\n**" + s.Title + ".** " + plain(s.Help) + "\n\n")
		for i, step := range s.Guide.Steps {
			fmt.Fprintf(&b, "%d. %s\n", i+1, plain(step))
		}
		fmt.Fprintf(&b, "\n- The integration's secret: %s.\n", plain(s.Guide.Paste))
		if s.Guide.Docs != "" && s.Name != genericName {
			fmt.Fprintf(&b, "- From: <%s>\n", s.Guide.Docs)
		}
		if s.Events.Type.find != nil {
			fmt.Fprintf(&b, "- Event: id %s; type %s; subject %s.\n", place(s.Events.ID), place(s.Events.Type), place(s.Events.Subject))
		}
		if s.MaxBodyBytes > 0 {
			fmt.Fprintf(&b, "- Its bodies may have %d MiB unless the integration's `maxBodyBytes` says otherwise.\n", s.MaxBodyBytes>>20)
		}
		for _, o := range s.OptionsHelp() {
			fmt.Fprintf(&b, "- Option `%s`: %s\n", o.Name, o.Help)
		}
		if caveats := s.Caveats(); caveats != "" {
			fmt.Fprintf(&b, "- Note: %s\n", caveats)
		}
		if len(s.Samples) > 0 {
			b.WriteString("\n```sh\n" + command(s) + "\n```\n")
		}
	}
	return b.String()
}

// madeOf links to the provider's definition.
func madeOf(s Spec) string {
	if _, ok := ShippedDefinition(s.Name); ok {
		return fmt.Sprintf("[definition](../platform/provider/definitions/%s.yaml)", s.Name)
	}
	return "code"
}

// recordedCases lists the provider's recordings.
func recordedCases(s Spec) string {
	paths, _ := filepath.Glob(filepath.Join("testdata", s.Name, "*.json"))
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".json")
	}
	return strings.Join(paths, ", ")
}

func checkedAgainst(s Spec) string {
	if s.Checked == "" {
		return "the page named below"
	}
	return s.Checked
}

// plain escapes text for Markdown: angle brackets are not HTML.
func plain(text string) string {
	parts := strings.Split(text, "<URL>")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, "<", `\<`)
	}
	return strings.Join(parts, "`https://<gateway>/api/v1/webhooks/<source>`")
}

func proof(s Spec) string {
	if s.Name == "standard-webhooks" {
		return "`webhook-signature`, `webhook-id`, `webhook-timestamp`, or the same with `svix-`"
	}
	all := slices.Clone(s.Headers())
	for _, at := range spotsOf(s.Verify) {
		if at.kind != inHeader {
			all = append(all, at.String())
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > 0 {
		return "`" + strings.Join(all, "`, `") + "`"
	}
	if s.Name == genericName {
		return "its definition"
	}
	return "the body"
}

// spotsOf returns the places of a verifier's signatures and tokens.
func spotsOf(v Verifier) (all []spot) {
	switch v := v.(type) {
	case HMAC:
		return v.At
	case SharedToken:
		return v.At
	case AnyOf:
		for _, one := range v {
			all = append(all, spotsOf(one)...)
		}
	}
	return all
}

func tolerance(s Spec) string {
	if s.Tolerance == 0 {
		return "–"
	}
	return strings.TrimSuffix(strings.TrimSuffix(s.Tolerance.String(), "0s"), "0m")
}

func place(f finder) string {
	if f.where == "" {
		return "–"
	}
	return strings.ReplaceAll(f.where, "|", "\\|")
}

// command tries an integration of the provider.
func command(s Spec) string {
	line := "gateway send " + s.Name + " --source <source>"
	if s.Name != "acme" && s.Name != "globex" {
		line += " --secret \"$SECRET\""
	}
	if s.SignsURL {
		line += " --public-url https://<gateway>/api/v1/webhooks/<source>"
	}
	if len(s.Samples) > 1 {
		line += "   # or --type " + s.Samples[1].Type
	}
	return line
}
