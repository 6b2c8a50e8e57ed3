package test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The lifecycle of a source: created with the wrong secret, its webhook refused and
// quarantined, the secret corrected, the webhook released and delivered, the source
// removed.

func TestLifeOfASourceOnTheEmbeddedDefault(t *testing.T) {
	t.Parallel()
	g := embedded(t, journeySettings...)
	g.dev()
	key, err := os.ReadFile(filepath.Join(g.env["data"], "secrets.key"))
	require.NoError(t, err)
	g.set("DATABASE_URL", g.database, "SECRETS_KEY", strings.TrimSpace(string(key))) // for commands that run beside it
	sourceTest{t, g}.execute()
}

func TestLifeOfASourceOnTheServers(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	g.serve()
	g.work()
	sourceTest{t, g}.execute()
}

type sourceTest struct {
	t *testing.T
	*gateway
}

// manage sends a management request that must be answered with status.
func (l sourceTest) manage(status int, method, path, body string, data any) envelope {
	l.t.Helper()
	header := map[string]string{"X-Internal-Api-Key": managementKey, "Content-Type": "application/json"}
	res, e, err := l.ask(method, "/api/v1"+path, []byte(body), header)
	require.NoError(l.t, err)
	require.Equal(l.t, status, res.StatusCode, "%s %s: %v", method, path, e.Error)
	if data != nil {
		require.NoError(l.t, json.Unmarshal(e.Data, data))
	}
	return e
}

// webhook sends a webhook to the source, signed with acme's demo secret, and returns the
// status.
func (l sourceTest) webhook(source, eventID string) int {
	l.t.Helper()
	body := order(eventID, "s")
	res, _, err := l.ask(http.MethodPost, "/api/v1/webhooks/"+source, []byte(body),
		map[string]string{"Content-Type": "application/json", "X-Acme-Signature": acmeSignature(body)})
	require.NoError(l.t, err)
	return res.StatusCode
}

type quarantinedView struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (l sourceTest) execute() {
	var made struct {
		ID             string `json:"id"`
		SigningSecrets []struct {
			SigningSecret string `json:"signingSecret"`
		} `json:"signingSecrets"`
	}
	l.manage(http.StatusCreated, http.MethodPost, "/integrations", `{"source":"shop","provider":"acme","secrets":["a-secret-mistyped"],
		"destinations":[{"url":"`+l.receiver.server.URL+`/shop"}]}`, &made)
	require.Len(l.t, made.SigningSecrets, 1)

	released := l.fixAndRelease(made.ID)
	require.Equal(l.t, "/shop", l.receiver.one(l.t, released).path)
	require.Equal(l.t, http.StatusOK, l.webhook("shop", "evt_shop"), "a duplicate is detected")
	l.fromTheCommandLine(made.ID)

	l.manage(http.StatusOK, http.MethodDelete, "/integrations/"+made.ID, "", nil)
	require.Equal(l.t, http.StatusNotFound, l.webhook("shop", "evt_late"))
	var event eventView
	l.get("/events/"+released+"/status", &event)
	require.Equal(l.t, "processed", event.Status, "its history stays")
	var said strings.Builder
	for _, p := range l.processes {
		said.WriteString(p.output.String())
	}
	for _, secret := range []string{"a-secret-mistyped", acmeSecret} {
		require.NotContains(l.t, l.responses.String()+said.String(), secret)
	}
}

// fixAndRelease returns the id of the event that a refused webhook became.
func (l sourceTest) fixAndRelease(integrationID string) string {
	require.Equal(l.t, http.StatusUnauthorized, l.webhook("shop", "evt_shop"))
	var kept []quarantinedView
	eventually(l.t, func() bool { return l.get("/quarantine?source=shop", &kept) == 1 }, "the refused webhook is quarantined")
	require.Equal(l.t, "no_match", kept[0].Reason)
	release := "/quarantine/" + kept[0].ID + "/release"
	e := l.manage(http.StatusConflict, http.MethodPost, release, "", nil)
	require.Contains(l.t, e.Error.Message, "Still refused")

	l.manage(http.StatusCreated, http.MethodPost, "/integrations/"+integrationID+"/secrets", `{"value":"`+acmeSecret+`","note":"the correct one"}`, nil)
	var released receipt
	l.manage(http.StatusAccepted, http.MethodPost, release, "", &released)
	return released.EventID
}

// fromTheCommandLine changes the source while the process serves it; the process picks the
// change up by itself.
func (l sourceTest) fromTheCommandLine(integrationID string) {
	l.run("integrations", "disable", "shop", "--yes")
	eventually(l.t, func() bool { return l.webhook("shop", "evt_shop") == http.StatusNotFound }, "the source is disabled")
	l.run("integrations", "enable", "shop")
	eventually(l.t, func() bool { return l.webhook("shop", "evt_shop") == http.StatusOK }, "the source is enabled")

	type secretView struct {
		Note       string `json:"note"`
		MatchCount int    `json:"matchCount"`
	}
	var secrets []secretView
	eventually(l.t, func() bool {
		l.get("/integrations/"+integrationID+"/secrets", &secrets)
		return len(secrets) == 2 && secrets[1].MatchCount >= 3
	}, "the matches of the correct secret are written")
	require.Zero(l.t, secrets[0].MatchCount, "and the other one is unused")
	require.Contains(l.t, l.run("integrations", "show", "shop"), "the correct one")
}
