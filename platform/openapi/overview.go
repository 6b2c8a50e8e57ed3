package openapi

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"integration-gateway/platform/httpapi"
)

// The marks around what the program says of a route in docs/api-overview.md. Everything else
// in a section is kept.
const (
	blockBegin = "<!-- from the routes -->\n"
	blockEnd   = "<!-- end -->\n"
)

var (
	sectionHead = regexp.MustCompile("(?m)^### `([A-Z]+ /[^`]*)`\n")
	block       = regexp.MustCompile("(?s)^\n" + blockBegin + ".*?" + blockEnd)
)

// Overview returns the page with what the routes say of themselves, in the section of each. It
// adds sections for new routes at the end, and fails if a section has no route.
func Overview(page string, routes []httpapi.Route) (string, error) {
	parts := map[string]string{}
	var missing []string
	for _, r := range routes {
		if name, is := strings.CutPrefix(r.Path, httpapi.Base); is {
			name = r.Method + " " + name
			parts[name] = blockOf(r)
			if !strings.Contains(page, "\n### `"+name+"`\n") {
				missing = append(missing, name)
			}
		}
	}
	page = strings.TrimSuffix(page, "\n") + "\n"
	for _, name := range missing {
		page += "\n### `" + name + "`\n"
	}
	var b strings.Builder
	rest := page
	for {
		at := sectionHead.FindStringSubmatchIndex(rest)
		if at == nil {
			b.WriteString(rest)
			return b.String(), nil
		}
		name := rest[at[2]:at[3]]
		part, known := parts[name]
		if !known {
			return "", fmt.Errorf("there is a section about %s, which is no route", name)
		}
		b.WriteString(rest[:at[1]])
		b.WriteString("\n" + blockBegin + part + blockEnd)
		rest = block.ReplaceAllString(rest[at[1]:], "")
	}
}

func blockOf(r httpapi.Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s.* %s\n", roleText(r), r.Spec.Summary)
	if len(r.Spec.Query) > 0 {
		b.WriteString("\n| parameter | value | meaning |\n| --- | --- | --- |\n")
		paged := false
		for _, p := range r.Spec.Query {
			if p.Name == "page" || p.Name == "pageSize" || p.Kind == httpapi.KindCursor {
				paged = true
				continue
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, typeText(p), p.Doc)
		}
		if paged {
			b.WriteString("| `page`, `pageSize`, `cursor` | | see *Paging* |\n")
		}
	}
	var statuses []string
	for _, a := range r.Spec.Answers {
		text := strconv.Itoa(a.Status)
		if a.When != "" {
			text += " (" + a.When + ")"
		}
		statuses = append(statuses, text)
	}
	fmt.Fprintf(&b, "\nAnswers %s. Errors: %s.\n", strings.Join(statuses, ", "), strings.Join(statusesOf(r), ", "))
	return b.String()
}
