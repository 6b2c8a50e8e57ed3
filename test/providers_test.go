package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/secret"
)

// Every provider whose webhooks can be signed here, on the servers, with the API and the
// worker apart: set up with the wrong secret, its webhook refused, kept, and released once
// the right one is there; then accepted, known as a repeat, and refused with a bad
// signature; and everything accepted is delivered. Amazon SNS and PayPal alone are left
// out, since they sign with keys of their own.
func TestEveryProviderOnTheServers(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	g.work()
	life := providersLife{sourceLife: sourceLife{t, g}}
	var unsigned []string
	for _, s := range provider.Builtin().Specs() {
		switch {
		case s.Name == "generic":
		case len(s.Samples) == 0:
			unsigned = append(unsigned, s.Name)
		default:
			life.sources = append(life.sources, &providerSource{Spec: s})
		}
	}
	require.Equal(t, []string{"aws-sns", "paypal"}, unsigned)
	require.Len(t, life.sources, 19)
	life.make()
}

// providerSource is a provider's source as it comes through the test.
type providerSource struct {
	provider.Spec
	id     string // of the integration
	kept   quarantinedView
	events []string // that were accepted
}

func (s *providerSource) source() string { return "of-" + s.Name }

// key is what the provider signs with.
func (s *providerSource) key() string {
	if s.Name == "standard-webhooks" {
		return "whsec_YS1zZWNyZXQtb2YtdGhlLXByb3ZpZGVycw=="
	}
	return "a-secret-of-" + s.Name
}

// The integration's other secret, which verifies nothing that is sent.
const mistyped = "whsec_YS1zZWNyZXQtdGhhdC1pcy1taXN0eXBlZA=="

type providersLife struct {
	sourceLife
	sources []*providerSource
}

func (l providersLife) make() {
	for _, s := range l.sources {
		l.add(s)
		require.Contains(l.t, l.sends(1, s), " 401 ", s.Name)
	}
	for _, s := range l.sources {
		l.released(s)
	}
	for _, s := range l.sources {
		for _, sample := range s.Samples {
			said := l.sends(0, s, "--type", sample.Type, "--repeat")
			require.Contains(l.t, said, " queued  event ", s.Name)
			require.Contains(l.t, said, " duplicate  event ", s.Name)
			s.events = append(s.events, eventNames.FindStringSubmatch(said)[1])
		}
		require.Contains(l.t, l.sends(0, s, "--bad-signature"), " 401 ", s.Name)
	}
	for _, s := range l.sources {
		l.quarantined(s)
		for _, event := range s.events {
			require.Equal(l.t, "/"+s.Name, l.receiver.one(l.t, event).path)
			l.ends(event, "processed")
		}
	}
	l.keepSecrets()
}

func (l providersLife) add(s *providerSource) {
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

// sends runs `gateway send`, which must end with a code, and gives what it said.
func (l providersLife) sends(code int, s *providerSource, args ...string) string {
	l.t.Helper()
	l.set("GATEWAY_SEND_SECRET", s.key())
	p := startProcess(l.t, l.env, append([]string{"send", s.Name, "--source", s.source()}, args...)...)
	require.Equal(l.t, code, p.exitCode(patience), "%s: %s", p.name, &p.said)
	l.processes = append(l.processes, p)
	return p.said.String()
}

// quarantined waits for the only request of the source that is kept.
func (l providersLife) quarantined(s *providerSource) {
	l.t.Helper()
	var kept []quarantinedView
	eventually(l.t, func() bool { return l.get("/quarantine?source="+s.source(), &kept) == 1 }, "the refused webhook of %s is kept", s.Name)
	require.Equal(l.t, "no_match", kept[0].Reason, s.Name)
	s.kept = kept[0]
	var shown json.RawMessage
	l.get("/quarantine/"+s.kept.ID, &shown) // what it says is looked through in the end
}

// released mends the secret, and releases what was refused because of the other.
func (l providersLife) released(s *providerSource) {
	l.t.Helper()
	l.quarantined(s)
	release := "/quarantine/" + s.kept.ID + "/release"
	l.manage(http.StatusConflict, http.MethodPost, release, "", nil)
	held, err := s.SecretFor(secret.New(s.key()))
	require.NoError(l.t, err)
	l.manage(http.StatusCreated, http.MethodPost, "/integrations/"+s.id+"/secrets", fmt.Sprintf(`{"value":%q}`, held.Reveal()), nil)
	var r receipt
	l.manage(http.StatusAccepted, http.MethodPost, release, "", &r)
	s.events = append(s.events, r.EventID)
	l.manage(http.StatusNotFound, http.MethodPost, release, "", nil)
}

// keepSecrets holds that no secret stands in what was answered and logged, nor in what is
// audited and shown.
func (l providersLife) keepSecrets() {
	var shown json.RawMessage
	for _, path := range []string{"/integrations", "/audit-entries?pageSize=100", "/quarantine?pageSize=100", "/events?pageSize=100"} {
		l.get(path, &shown)
	}
	for _, s := range l.sources {
		l.get("/events/"+s.events[0], &shown)
	}
	var said strings.Builder
	said.WriteString(l.said.String())
	for _, p := range l.processes {
		said.WriteString(p.said.String())
	}
	for _, s := range l.sources {
		require.NotContains(l.t, said.String(), s.key())
	}
	require.NotContains(l.t, said.String(), mistyped)
}
