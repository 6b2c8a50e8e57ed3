package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// Every provider whose webhooks can be signed here, on the servers, with the API and the
// worker separate. Each source is set up with the wrong secret; its webhook is refused,
// quarantined, and released after the secret is corrected. Further webhooks are accepted,
// recognised as duplicates, and refused with a bad signature; everything accepted is
// delivered. Only Amazon SNS and PayPal are skipped, since only they have their keys.
func TestEveryProviderOnTheServers(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	g.work()
	life := providersTest{sourceTest: sourceTest{t, g}}
	var unsigned []string
	for _, s := range provider.Builtin().Specs() {
		switch {
		case s.Name == "generic", definedAlike(s.Name):
		case len(s.Samples) == 0:
			unsigned = append(unsigned, s.Name)
		default:
			life.sources = append(life.sources, &providerSource{Spec: s})
		}
	}
	require.Equal(t, []string{"aws-sns", "paypal"}, unsigned)
	require.Len(t, life.sources, 19)
	life.execute()
}

// definedAlike reports whether a provider is a definition like another one in this test: the
// tests of platform/provider hold each to its recordings.
func definedAlike(name string) bool {
	_, defined := provider.ShippedDefinition(name)
	return defined && !slices.Contains([]string{"github", "intercom", "linear", "paddle", "shopify", "square", "stripe", "typeform", "zendesk"}, name)
}

// providerSource is a provider's source during the test.
type providerSource struct {
	provider.Spec
	id          string // of the integration
	quarantined quarantinedView
	events      []string // accepted events
}

func (s *providerSource) source() string { return "of-" + s.Name }

// key is the provider's signing key.
func (s *providerSource) key() string {
	if s.Name == "standard-webhooks" {
		return "whsec_YS1zZWNyZXQtb2YtdGhlLXByb3ZpZGVycw=="
	}
	return "a-secret-of-" + s.Name
}

// The integration's other secret, which verifies nothing.
const mistyped = "whsec_YS1zZWNyZXQtdGhhdC1pcy1taXN0eXBlZA=="

type providersTest struct {
	sourceTest
	sources []*providerSource
}

func (l providersTest) execute() {
	for _, s := range l.sources {
		l.add(s)
		require.Contains(l.t, l.runSend(1, s), " 401 ", s.Name)
	}
	for _, s := range l.sources {
		l.fixAndRelease(s)
	}
	for _, s := range l.sources {
		for _, sample := range s.Samples {
			said := l.runSend(0, s, "--type", sample.Type, "--repeat")
			require.Contains(l.t, said, " queued  event ", s.Name)
			require.Contains(l.t, said, " duplicate  event ", s.Name)
			s.events = append(s.events, eventNames.FindStringSubmatch(said)[1])
		}
		require.Contains(l.t, l.runSend(0, s, "--bad-signature"), " 401 ", s.Name)
	}
	for _, s := range l.sources {
		l.waitForQuarantine(s)
		for _, event := range s.events {
			require.Equal(l.t, "/"+s.Name, l.receiver.one(l.t, event).path)
			l.waitForStatus(event, "processed")
		}
	}
	l.checkSecrets()
}

func (l providersTest) add(s *providerSource) {
	held, err := s.SecretFor(secret.New(mistyped))
	require.NoError(l.t, err)
	var made struct {
		ID string `json:"id"`
	}
	l.manage(http.StatusCreated, http.MethodPost, "/integrations", fmt.Sprintf(`{"source":%q,"provider":%q,"secrets":[%q],"destinations":[{"url":%q}]}`,
		s.source(), s.Name, held.Reveal(), l.receiver.server.URL+"/"+s.Name), &made)
	s.id = made.ID
}

var eventNames = regexp.MustCompile(` event ([0-9a-f-]{36})`)

// runSend runs `gateway send`, which must exit with the code, and returns its output.
func (l providersTest) runSend(code int, s *providerSource, args ...string) string {
	l.t.Helper()
	l.set("GATEWAY_SEND_SECRET", s.key())
	p := startProcess(l.t, l.env, append([]string{"send", s.Name, "--source", s.source()}, args...)...)
	require.Equal(l.t, code, p.exitCode(waitTimeout), "%s: %s", p.name, &p.output)
	l.processes = append(l.processes, p)
	return p.output.String()
}

// waitForQuarantine waits for the only quarantined request of the source.
func (l providersTest) waitForQuarantine(s *providerSource) {
	l.t.Helper()
	var kept []quarantinedView
	eventually(l.t, func() bool { return l.get("/quarantine?source="+s.source(), &kept) == 1 }, "the refused webhook of %s is quarantined", s.Name)
	require.Equal(l.t, "no_match", kept[0].Reason, s.Name)
	s.quarantined = kept[0]
	var shown json.RawMessage
	l.get("/quarantine/"+s.quarantined.ID, &shown) // its content is searched in the end
}

// fixAndRelease corrects the secret, and releases what was refused because of it.
func (l providersTest) fixAndRelease(s *providerSource) {
	l.t.Helper()
	l.waitForQuarantine(s)
	release := "/quarantine/" + s.quarantined.ID + "/release"
	l.manage(http.StatusConflict, http.MethodPost, release, "", nil)
	held, err := s.SecretFor(secret.New(s.key()))
	require.NoError(l.t, err)
	l.manage(http.StatusCreated, http.MethodPost, "/integrations/"+s.id+"/secrets", fmt.Sprintf(`{"value":%q}`, held.Reveal()), nil)
	var r receipt
	l.manage(http.StatusAccepted, http.MethodPost, release, "", &r)
	s.events = append(s.events, r.EventID)
	l.manage(http.StatusNotFound, http.MethodPost, release, "", nil)
}

// checkSecrets requires that no secret appears in responses, logs, audit entries and views.
func (l providersTest) checkSecrets() {
	var shown json.RawMessage
	for _, path := range []string{"/integrations", "/audit-entries?pageSize=100", "/quarantine?pageSize=100", "/events?pageSize=100"} {
		l.get(path, &shown)
	}
	for _, s := range l.sources {
		l.get("/events/"+s.events[0], &shown)
	}
	var said strings.Builder
	said.WriteString(l.responses.String())
	for _, p := range l.processes {
		said.WriteString(p.output.String())
	}
	for _, s := range l.sources {
		require.NotContains(l.t, said.String(), s.key())
	}
	require.NotContains(l.t, said.String(), mistyped)
}
