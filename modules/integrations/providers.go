package integrations

import (
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// providerView describes a provider and how to set it up.
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

	StoresSecret bool `json:"storesSecret"` // its handshake brings the secret, so that there need be none before
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
			Name: s.Name, Title: s.Title, Help: s.Help, Docs: httpapi.OrNull(s.Guide.Docs), Steps: []string{}, Secret: s.Guide.Paste,
			Headers: httpapi.OrEmpty(s.Headers()), Options: httpapi.OrEmpty(s.OptionsHelp()), Samples: []string{}, Unsigned: httpapi.OrNull(s.Caveats()),
			StoresSecret: s.StoresSecrets,
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
