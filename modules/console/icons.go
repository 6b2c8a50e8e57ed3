package console

import (
	"github.com/DataDog/datadog-agent/pkg/template/html"
	"maps"
	"slices"
	"strings"
)

// icons are our own, drawn on a grid of 16.
var icons = map[string]string{ //nolint:gosec // drawings, and no credentials
	"overview":     `<path d="M2 9h3l2-5 3 9 2-4h2"/>`,
	"events":       `<path d="M2.5 4h11M2.5 8h11M2.5 12h7"/>`,
	"dead-letters": `<path d="M2.5 4.5h11v8h-11zM2.5 5l5.5 4 5.5-4M6 2l4 0"/>`,
	"quarantine":   `<path d="M8 1.8l5.5 2v4c0 3.4-2.4 5.6-5.5 6.5-3.1-.9-5.5-3.1-5.5-6.5v-4zM6 6l4 4M10 6l-4 4"/>`,
	"replays":      `<path d="M3 8a5 5 0 1 0 1.6-3.7M3 2.5v3h3"/>`,
	"destinations": `<circle cx="8" cy="8" r="5.5"/><circle cx="8" cy="8" r="1.7"/><path d="M8 .8v3M8 12.2v3M.8 8h3M12.2 8h3"/>`,
	"integrations": `<path d="M6 2.5v3M10 2.5v3M4 5.5h8v2a4 4 0 0 1-8 0zM8 11.5v3"/>`,
	"alerts":       `<path d="M4 11V7a4 4 0 0 1 8 0v4l1.2 1.5H2.8zM6.7 14.2h2.6"/>`,
	"audit":        `<path d="M3.5 2h6l3 3v9h-9zM9.5 2v3h3M6 8.5h4M6 11h4"/>`,
	"keys":         `<circle cx="5.2" cy="10.8" r="2.7"/><path d="M7.2 8.8L13 3M10.5 5.5l2 2"/>`,
	"system":       `<path d="M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1"/>`,
	"secrets":      `<path d="M3.5 7h9v6.5h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2"/>`,
	"search":       `<circle cx="7" cy="7" r="4.5"/><path d="M10.4 10.4L14 14"/>`,
	"copy":         `<path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3"/>`,
	"good":         `<path d="M3 8.5l3.2 3.2L13 5"/>`,
	"bad":          `<path d="M4 4l8 8M12 4l-8 8"/>`,
	"warn":         `<path d="M8 2.2l6.2 11H1.8zM8 6.5v3M8 11.4v.1"/>`,
	"busy":         `<path d="M3 8h9M9 4.5L12.5 8 9 11.5"/>`,
	"wait":         `<circle cx="8" cy="8" r="5.5"/><path d="M8 5v3.2l2 1.3"/>`,
	"off":          `<path d="M3.5 8h9"/>`,
	"menu":         `<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>`,
	"next":         `<path d="M6 3.5L10.5 8 6 12.5"/>`,
}

// icon draws an icon of the page's sprite, which readers skip: a word stands beside it.
func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" aria-hidden="true"><use href="#i-` + name + `"/></svg>`) //nolint:gosec // our own text
}

// sprite holds each icon once, so that a page with many rows stays small.
func sprite() template.HTML {
	var all strings.Builder
	all.WriteString(`<svg class="hidden" aria-hidden="true">`)
	for _, name := range slices.Sorted(maps.Keys(icons)) {
		all.WriteString(`<symbol id="i-` + name + `" viewBox="0 0 16 16">` + icons[name] + `</symbol>`)
	}
	all.WriteString(`</svg>`)
	return template.HTML(all.String()) //nolint:gosec // our own text
}
