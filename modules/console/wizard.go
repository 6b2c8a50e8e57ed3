package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"integration-gateway/platform/fault"
)

// provider is one that webhooks can come from.
type provider struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Help    string   `json:"help"`
	Docs    *string  `json:"docs"`
	Steps   []string `json:"steps"`
	Secret  string   `json:"secret"`
	Headers []string `json:"headers"`
	Options []struct {
		Name string `json:"name"`
		Help string `json:"help"`
	} `json:"options"`
	Samples  []string `json:"samples"`
	Unsigned *string  `json:"unsigned"`
	Stores   bool     `json:"storesSecret"` // its handshake brings the secret
}

// plainOptions are those options that the form asks for; the others are JSON and for the API.
var plainOptions = map[string]bool{"publicUrl": true, "toleranceSeconds": true, "confirmSubscriptions": true, "possibleReplays": true, "duplicateKeys": true}

func (v *visit) providers() ([]provider, error) {
	var all []provider
	if _, err := v.get("/providers", nil, &all); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b provider) int { return cmp.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)) })
	return all, nil
}

// providerInto reads one provider; one that is no longer known has its name alone.
func (v *visit) providerInto(out *provider, name string) reading {
	return func(ctx context.Context) error {
		var all []provider
		err := v.into("/providers", nil, &all)(ctx)
		*out = provider{Name: name, Title: name}
		for _, p := range all {
			if p.Name == name {
				*out = p
			}
		}
		return err
	}
}

// wizardPage asks for what a new source needs.
type wizardPage struct {
	Providers []provider
	Chosen    *provider
	Options   []wizardOption
	Source    string
	Name      string
	URL       string
	Address   string // before the source's name
}

type wizardOption struct{ Name, Help, Value string }

// newIntegration asks for the provider, and then for the rest.
func (m *Module) newIntegration(v *visit) error {
	return v.showWizard(v.param("provider"), url.Values{}, nil)
}

func (v *visit) showWizard(name string, typed url.Values, wrong error) error {
	p := wizardPage{Source: typed.Get("source"), Name: typed.Get("name"), URL: typed.Get("url"), Address: v.m.publicURL(v) + "/api/v1/webhooks/"}
	var err error
	if p.Providers, err = v.providers(); err != nil {
		return err
	}
	for i, each := range p.Providers {
		if each.Name == name {
			p.Chosen = &p.Providers[i]
			for _, o := range each.Options {
				if plainOptions[o.Name] {
					p.Options = append(p.Options, wizardOption{o.Name, o.Help, typed.Get("option." + o.Name)})
				}
			}
		}
	}
	if p.Chosen != nil && p.Source == "" {
		p.Source = p.Chosen.Name
	}
	return v.showWith(http.StatusOK, "integration-new", "New integration", p, wrong)
}

// makeIntegration creates a source with its secret and destination, and then waits for its first
// webhook. The destination's signing secret is shown in this answer alone.
func (m *Module) makeIntegration(v *visit) error {
	f := v.form
	body := map[string]any{"source": strings.TrimSpace(f.Get("source")), "provider": f.Get("provider"), "secrets": []string{}}
	if text := f.Get("secret"); text != "" {
		body["secrets"] = []string{text}
	}
	if name := strings.TrimSpace(f.Get("name")); name != "" {
		body["name"] = name
	}
	if address := strings.TrimSpace(f.Get("url")); address != "" {
		body["destinations"] = []map[string]any{{"url": address}}
	}
	options := map[string]any{}
	for name := range plainOptions {
		value := strings.TrimSpace(f.Get("option." + name))
		switch n, err := strconv.Atoi(value); {
		case value == "":
		case name == "toleranceSeconds" && err != nil:
			return v.showWizard(f.Get("provider"), f, fault.Invalid.New("bad_option", "toleranceSeconds must be a whole number."))
		case name == "toleranceSeconds":
			options[name] = n
		case name == "confirmSubscriptions":
			options[name] = value == "true"
		default:
			options[name] = value
		}
	}
	if len(options) > 0 {
		body["options"] = options
	}
	var made struct {
		ID             string `json:"id"`
		SigningSecrets []struct {
			Secret string `json:"signingSecret"`
		} `json:"signingSecrets"`
	}
	if err := v.api.Post(v.ctx, "/integrations", body, &made); err != nil {
		return v.showWizard(f.Get("provider"), f, err)
	}
	signing := ""
	if len(made.SigningSecrets) > 0 {
		signing = made.SigningSecrets[0].Secret
	}
	return v.showFirst(made.ID, signing)
}

// firstPage waits for the first webhook of a source.
type firstPage struct {
	integration
	Provider provider
	Address  string
	Signing  string // shown once
	Steps    []string
	Event    *event
	Refused  []quarantinedItem
	Self     string
}

func (m *Module) firstWebhook(v *visit) error { return v.showFirst(v.c.Param("id"), "") }

func (v *visit) showFirst(inID, signing string) error {
	p := firstPage{Signing: signing, Self: Root + "/integrations/" + url.PathEscape(inID) + "/first"}
	if _, err := v.get("/integrations/"+url.PathEscape(inID), nil, &p.integration); err != nil {
		return err
	}
	var events []event
	err := v.together(v.providerInto(&p.Provider, p.integration.Provider), v.into("/events", url.Values{"source": {p.Source}, "pageSize": {"1"}}, &events),
		v.into("/quarantine", url.Values{"source": {p.Source}, "pageSize": {"5"}}, &p.Refused))
	if err != nil {
		return err
	}
	base := v.m.publicURL(v)
	p.Address = base + "/api/v1/webhooks/" + p.Source
	for _, step := range p.Provider.Steps {
		p.Steps = append(p.Steps, strings.NewReplacer("https://<gateway>", base, "<gateway>", base, "<source>", p.Source).Replace(step))
	}
	if len(events) > 0 {
		p.Event = &events[0]
	}
	return v.showWith(http.StatusOK, "integration-first", "Waiting for "+p.Source, p, nil)
}
