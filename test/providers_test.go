package test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/secret"
)

// Every built-in provider on the whole gateway, by the commands that an operator has:
// refused with the wrong secret and kept, released once the secret is right, delivered,
// known when it comes again, refused with a bad signature.

func TestEveryProviderOnTheServers(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	g.work()
	var left []string
	for _, spec := range provider.Builtin().Specs() {
		if len(spec.Samples) == 0 {
			left = append(left, spec.Name)
			continue
		}
		providerLife{sourceLife{t, g}, spec}.make()
	}
	slices.Sort(left)
	require.Equal(t, []string{"aws-sns", "generic", "paypal"}, left, "two that only their providers can sign, and one that each integration defines")
}

type providerLife struct {
	sourceLife
	spec provider.Spec
}

// The keys that samples are signed with: standard-webhooks and gitlab have theirs in a
// form of its own.
const (
	rightKey = "whsec_cmlnaHQtcmlnaHQtcmlnaHQtcmlnaHQtcmlnaHQ="
	wrongKey = "whsec_d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc="
)

// held is the secret that an integration needs for what is signed with key.
func (l providerLife) held(key string) string {
	value, err := l.spec.SecretFor(secret.New(key))
	require.NoError(l.t, err, l.spec.Name)
	return value.Reveal()
}

func (l providerLife) make() {
	name, source := l.spec.Name, l.spec.Name+"-try"
	l.run("integrations", "add", name, "--source", source, "--secret", l.held(wrongKey), "--to", l.receiver.server.URL+"/"+source)
	send := []string{"send", name, "--source", source, "--secret", rightKey}
	require.Equal(l.t, 1, l.ends(send...), "%s: the integration has another secret", name)
	var kept []quarantinedView
	eventually(l.t, func() bool { return l.get("/quarantine?source="+source, &kept) == 1 }, "%s: the refused webhook is kept", name)
	require.Equal(l.t, "no_match", kept[0].Reason, name)

	l.run("integrations", "rotate-secret", source, "--secret", l.held(rightKey))
	l.run("quarantine", "release", kept[0].ID)
	eventually(l.t, func() bool { return l.count("/events?status=processed&source="+source) > 0 }, "%s: the released webhook is delivered", name)
	eventually(l.t, func() bool { return l.ends(send...) == 0 }, "%s: the process that serves knows the right secret", name)
	l.run(append(send, "--repeat")...)

	refused := l.count("/quarantine?source=" + source)
	l.run(append(send, "--bad-signature")...)
	eventually(l.t, func() bool { return l.count("/quarantine?source="+source) == refused+1 }, "%s: one with a bad signature is kept", name)
	eventually(l.t, func() bool {
		events := l.count("/events?source=" + source)
		return events >= 3 && l.count("/events?status=processed&source="+source) == events
	}, "%s: all are delivered", name)
}

// ends gives the exit code of a command.
func (l providerLife) ends(args ...string) int {
	return startProcess(l.t, l.env, args...).exitCode(patience)
}

// count gives how many there are in a list.
func (l providerLife) count(path string) int {
	var list json.RawMessage
	return l.get(path, &list)
}
