package ingestion

import (
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/httpapi"
)

// providerView is what setting a provider up takes.
type providerView struct {
	Name     string                `json:"name"`
	Title    string                `json:"title"`
	Help     string                `json:"help"`
	Docs     *string               `json:"docs"`
	Steps    []string              `json:"steps"`
	Secret   string                `json:"secret"`
	Headers  []string              `json:"headers"`
	Options  []provider.OptionHelp `json:"options"`
	Samples  []string              `json:"samples"`
	Unsigned *string               `json:"unsigned"`
}

func (m *Module) getProviders(c echo.Context) error {
	base := m.cfg.PublicBaseURL
	if base == "" {
		base = "https://<gateway>"
	}
	address := strings.NewReplacer("<URL>", base+httpapi.Base+"/webhooks/<source>")
	var views []providerView
	for _, s := range m.d.Providers.Specs() {
		view := providerView{
			Name: s.Name, Title: s.Title, Help: s.Help, Docs: orNull(s.Guide.Docs), Steps: []string{}, Secret: s.Guide.Paste,
			Headers: orEmpty(s.Headers()), Options: orEmpty(s.OptionsHelp()), Samples: []string{}, Unsigned: orNull(s.Unsigned),
		}
		for _, step := range s.Guide.Steps {
			view.Steps = append(view.Steps, address.Replace(step))
		}
		for _, sample := range s.Samples {
			view.Samples = append(view.Samples, sample.Type)
		}
		views = append(views, view)
	}
	return httpapi.All(c, views)
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
