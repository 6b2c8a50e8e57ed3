package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"integration-gateway/platform/provider"
)

// source is an integration of the demo.
type source struct {
	name, provider, title string
	agent                 string // the provider's user agent
	secret, next          string // next replaces it while the demo runs
	weight                int    // how much of the traffic it is
	paths                 []string
	payloads              []provider.Sample

	id           string
	destinations []string // their ids, as paths
	spec         provider.Spec
}

func sources() []*source {
	return []*source{
		{name: "payments", provider: "stripe", agent: "Stripe/1.0 (+https://stripe.com/docs/webhooks)", title: "Payments (Stripe)", secret: "whsec_demo_5f2c81a09be7", weight: 5, //nolint:gosec // of the demo, it protects nothing
			paths: []string{"/ledger", "/fraud-check"}, payloads: payments},
		{name: "storefront", provider: "shopify", agent: "Shopify-Captain-Hook", title: "Storefront Europe (Shopify)", secret: "demo-shopify-secret-2025", next: "demo-shopify-secret-2026", weight: 6, //nolint:gosec // of the demo, it protects nothing
			paths: []string{"/orders", "/warehouse"}, payloads: storefront},
		{name: "engineering", provider: "github", agent: "GitHub-Hookshot/044aadd", title: "Engineering (GitHub)", secret: "demo-github-webhook-secret", weight: 3, //nolint:gosec // of the demo, it protects nothing
			paths: []string{"/ci"}, payloads: engineering},
		{name: "support", provider: "zendesk", agent: "Zendesk Webhook", title: "Support (Zendesk)", secret: "demo-zendesk-signing-secret", weight: 2, //nolint:gosec // of the demo, it protects nothing
			paths: []string{"/crm"}, payloads: support},
		{name: "workspace", provider: "slack", agent: "Slackbot 1.0 (+https://api.slack.com/robots)", title: "Workspace (Slack)", secret: "demo-slack-signing-secret", weight: 2, //nolint:gosec // of the demo, it protects nothing
			paths: []string{"/chat", "/analytics"}, payloads: workspace},
	}
}

// person is somebody whom the payloads are about.
type person struct{ name, mail, id string }

var people = []person{
	{"Ada Lovelace", "ada@example.com", "1843"}, {"Grace Hopper", "grace@example.com", "1952"}, {"Edsger Dijkstra", "edsger@example.net", "1968"},
	{"Barbara Liskov", "barbara@example.org", "1987"}, {"Donald Knuth", "donald@example.edu", "1962"}, {"Radia Perlman", "radia@example.com", "1985"},
	{"José Núñez", "jose@example.es", "2001"}, {"Søren Åberg", "soren@example.dk", "2004"},
}

var repositories = []string{"shop/storefront", "shop/warehouse", "shop/infrastructure"}

var titles = []string{"Retry the export once", "Round totals half to even", "Show the delivery window", "Drop the old price list", "Cache the tax rates"}

// pick draws a payload and fills in who and how much it is about.
func (s *source) pick(chance *rand.Rand) provider.Sample {
	return s.about(chance, chance.IntN(len(s.payloads)))
}

// about is the payload of that number.
func (s *source) about(chance *rand.Rand, number int) provider.Sample {
	who, repository := people[chance.IntN(len(people))], repositories[chance.IntN(len(repositories))]
	cents := 490 + chance.IntN(24_000)
	texts := strings.NewReplacer("$NAME", who.name, "$MAIL", who.mail, "$WHO", who.id, "$CENTS", fmt.Sprint(cents), "$TOTAL", fmt.Sprintf("%d.%02d", cents/100, cents%100),
		"$NUMBER", fmt.Sprint(1000+chance.IntN(9000)), "$LONG", fmt.Sprintf("82098291%010d", chance.IntN(1_000_000_000)), "$REPO", repository,
		"$TITLE", titles[chance.IntN(len(titles))], "$SHA", fmt.Sprintf("%08x%08x", chance.Uint32(), chance.Uint32()))
	p := s.payloads[number]
	p.Body = texts.Replace(p.Body)
	return p
}
