package ingestion

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// noncedSource is a source whose requests have a nonce, and a request to it.
func noncedSource(t *testing.T, g *gateway) func(nonce, body string) *http.Request {
	g.sources.manage(t, http.MethodPost, "", `{"source":"nonced","provider":"generic","secrets":["the-key-of-nonced"],"options":{"generic":{"scheme":"hmac",
		"signature":{"header":"X-Sig","over":"{timestamp}.{header:X-Nonce}.{body}"},"timestamp":{"header":"X-Time"},"nonce":"header:X-Nonce",
		"event":{"type":"text:t","id":"$.id"}}}}`)
	src, err := g.sources.Source(t.Context(), "nonced")
	require.NoError(t, err)
	return func(nonce, body string) *http.Request {
		req := provider.Request{Method: http.MethodPost, URL: "http://example.com/api/v1/webhooks/nonced", Body: []byte(body), Header: http.Header{"X-Nonce": {nonce}, "Content-Type": {"application/json"}}, ReceivedAt: then}
		require.NoError(t, src.Spec.Verify.(provider.Signer).SignRequest(&req, secret.New("the-key-of-nonced")))
		return incoming(req)
	}
}

func TestANonceIsAcceptedOnce(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen)
	made := noncedSource(t, g)
	require.Equal(t, http.StatusAccepted, g.do(made("n1", `{"id":"1"}`)).Status)
	require.Equal(t, http.StatusOK, g.do(made("n1", `{"id":"1"}`)).Status, "the provider's next try")
	require.Equal(t, http.StatusUnauthorized, g.do(made("n1", `{"id":"2"}`)).Status)
	require.Equal(t, "used_before", g.audit.take()[0].Reason)
	require.Equal(t, http.StatusAccepted, g.do(made("n2", `{"id":"2"}`)).Status)
	require.Equal(t, 2, g.count("normalized_events"))
}

func TestWithoutAMemoryOfNoncesNothingIsAccepted(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, func(_ *Config, d *Deps) { d.Cache = down{} })
	made := noncedSource(t, g)
	got := g.do(made("n1", `{"id":"1"}`))
	require.Equal(t, http.StatusServiceUnavailable, got.Status)
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", got.Error.Code)
	require.Zero(t, g.count("normalized_events"))
	require.Equal(t, http.StatusAccepted, g.do(acmeRequest(`{"eventId":"e1","eventType":"a.b","occurredAt":"2026-01-05T09:00:00Z","data":{}}`)).Status, "other sources are none the worse")
}

func TestAListOfAddressesGoesByTheClientsAddress(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.sources.manage(t, http.MethodPost, "", `{"source":"listed","provider":"generic","secrets":["the-token-of-listed"],"options":{"generic":{
		"allOf":[{"scheme":"addresses","addresses":["198.51.100.0/24"]},{"scheme":"token","signature":{"header":"X-Token"}}],"event":{"type":"text:t","id":"$.id"}}}}`)
	send := func(peer, forwarded string) int {
		r := request("listed", `{"id":"1"}`)
		r.Header.Set("X-Token", "the-token-of-listed")
		r.RemoteAddr = peer + ":443"
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		return g.do(r).Status
	}
	require.Equal(t, http.StatusUnauthorized, send("203.0.113.9", ""))
	require.Equal(t, "wrong_address", g.audit.take()[0].Reason)
	require.Equal(t, http.StatusUnauthorized, send("203.0.113.9", "198.51.100.7"), "a header of a peer that is no trusted proxy proves nothing")
	require.Equal(t, http.StatusAccepted, send("198.51.100.7", ""))
	require.Equal(t, http.StatusOK, send("198.51.100.8", "203.0.113.9"))

	// Of the two that were refused, the address that each came from is compared again.
	require.NoError(t, g.module.flushQuarantine(t.Context()))
	ids, _ := g.get("/quarantine?source=listed").list(t)
	require.NotEmpty(t, ids)
	require.Equal(t, http.StatusConflict, g.manage(http.MethodPost, "/quarantine/"+ids[0]+"/release", "").Status)
	g.sources.change("listed", func(s *settings) { s.Options.Generic.AllOf[0].Addresses = []string{"203.0.113.0/24"} })
	require.Equal(t, http.StatusOK, g.manage(http.MethodPost, "/quarantine/"+ids[0]+"/release", "").Status, "its event is known by now")
}
