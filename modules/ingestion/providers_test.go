package ingestion

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// then is when the samples and the recorded requests were sent.
var then = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func atThen(_ *Config, d *Deps) { d.Now = func() time.Time { return then } }

// sampleKey is a key that a provider's samples can be signed with.
func sampleKey(name string) secret.Value {
	if name == "standard-webhooks" || name == "gitlab" {
		return secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	}
	return keyOf(name, "a-secret-of-the-tests")
}

// otherKey is another key of the same form.
func otherKey(name string) secret.Value {
	if name == "standard-webhooks" || name == "gitlab" {
		return secret.New("whsec_b3RoZXItc2VjcmV0LW9mLXRoZS10ZXN0cw==")
	}
	return keyOf(name, "another-secret-of-the-tests")
}

// signs reports whether a key can sign the provider's samples.
func signs(spec provider.Spec, key secret.Value) bool {
	if len(spec.Samples) == 0 {
		return false
	}
	_, err := spec.SampleRequest(spec.Samples[0], key, then, "http://example.com", "x")
	return err == nil
}

// keyOf is a key made of a text in the form that the provider's have: the text, its base64, a
// user with it as the password, or its hex digits.
func keyOf(name, text string) secret.Value {
	spec, _ := provider.Builtin().Spec(name)
	for _, one := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), "gateway:" + text, hex.EncodeToString([]byte(text))} {
		held, err := spec.SecretFor(secret.New(one))
		if err == nil && spec.ValidateSecret(held) == nil && signs(spec, secret.New(one)) {
			return secret.New(one)
		}
	}
	return secret.New(text)
}

// incoming is a provider's request as it comes in.
func incoming(req provider.Request) *http.Request {
	r := httptest.NewRequest(http.MethodPost, req.URL, bytes.NewReader(req.Body))
	for name, values := range req.Header {
		r.Header[name] = values
	}
	return r
}

// plain sends a request whose answer may be anything.
func (g *gateway) plain(r *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	g.handler.ServeHTTP(recorder, r)
	return recorder
}

// addProvider makes a source of a provider, whose name it has.
func (g *gateway) addProvider(name string, secrets ...secret.Value) {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	g.sources.add(name+"-source", name, texts...)
}

func TestEveryProviderThroughTheRoute(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		for _, s := range provider.Builtin().Specs() {
			if !s.Signable() {
				continue
			}
			key := sampleKey(s.Name)
			held, err := s.SecretFor(key)
			require.NoError(t, err)
			g.addProvider(s.Name, secret.New("another"), held)
			for _, sample := range s.Samples {
				address := "http://example.com/api/v1/webhooks/" + s.Name + "-source"
				sample := func(key secret.Value) provider.Request {
					req, err := s.SampleRequest(sample, key, then, address, "id-of-"+strings.ToLower(sample.Type[:min(3, len(sample.Type))]))
					require.NoError(t, err)
					return req
				}
				accepted, again, told := http.StatusAccepted, http.StatusOK, s.AcknowledgeReply(sample(key), false)
				known := s.Deduplication.By != provider.ByNone
				if !known {
					again = accepted
				}
				if told != nil {
					accepted, again = told.Status, told.Status
				}
				before := g.count("normalized_events")
				first := g.plain(incoming(sample(key)))
				require.Equal(t, accepted, first.Code, "%s: %s", s.Name, first.Body)
				require.Greater(t, g.count("normalized_events"), before, s.Name)
				stored := g.count("normalized_events")
				repeat := g.plain(incoming(sample(key)))
				require.Equal(t, again, repeat.Code, "%s: %s", s.Name, repeat.Body)
				require.Equal(t, known, stored == g.count("normalized_events"), s.Name)
				if told != nil {
					require.Equal(t, string(told.Body), first.Body.String())
					require.NotEmpty(t, first.Header().Get("X-Event-Id"))
					second := "duplicate"
					if !known {
						second = "queued"
					}
					require.Equal(t, known, first.Header().Get("X-Event-Id") == repeat.Header().Get("X-Event-Id"))
					require.Equal(t, []string{"queued", second}, []string{first.Header().Get("X-Event-Status"), repeat.Header().Get("X-Event-Status")})
				}
				bad := g.plain(incoming(sample(otherKey(s.Name))))
				require.Equal(t, http.StatusUnauthorized, bad.Code, "%s: %s", s.Name, bad.Body)
				require.Equal(t, "no_match", g.audit.take()[0].Reason, s.Name)
			}
		}
		require.Positive(t, g.stored())
		for _, headers := range g.storedHeaders() {
			require.NotContains(t, headers, "a-secret-of-the-tests")
			require.NotContains(t, headers, "whsec_")
		}
	})
}

// recording reads a request that the providers' tests have.
func recording(t *testing.T, name string) (provider.Request, secret.Value) {
	path := filepath.Join("..", "..", "platform", "provider", "testdata", filepath.FromSlash(name))
	var r struct {
		Secret  string
		Headers map[string]string
	}
	text, err := os.ReadFile(path + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	body, err := os.ReadFile(path + ".body")
	require.NoError(t, err)
	source, _, _ := strings.Cut(name, "/")
	req := provider.Request{URL: "http://example.com/api/v1/webhooks/" + source + "-source", Header: http.Header{}, Body: body}
	for header, value := range r.Headers {
		req.Header.Set(header, value)
	}
	return req, secret.New(r.Secret)
}

func TestHandshakesMakeNoEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		for _, c := range []struct {
			recording, body string
			status          int
		}{
			{"slack/challenge", `{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`, 200},
			{"discord/ping", "", 204},
			{"discord/interaction-ping", `{"type":1}`, 200},
		} {
			req, held := recording(t, c.recording)
			g.addProvider(strings.Split(c.recording, "/")[0], held)
			got := g.plain(incoming(req))
			require.Equal(t, c.status, got.Code, c.recording)
			require.Equal(t, c.body, got.Body.String())
			req.Body = append(req.Body, ' ')
			require.Equal(t, http.StatusUnauthorized, g.plain(incoming(req)).Code, "an unsigned handshake is refused")
		}
		require.Zero(t, g.count("webhook_events"))
		require.Zero(t, g.count("normalized_events"))
		var audited int
		require.NoError(t, db.Get(t.Context(), &audited, `SELECT count(*) FROM audit_entries WHERE action = 'webhook.handshake' AND details LIKE '%"completed":true%'`))
		require.Equal(t, 3, audited)
	})
}

// amazon serves the tests' certificate and remembers what was opened.
type amazon struct {
	opened []string
	status int
	err    error
	page   []byte
}

func (a *amazon) fetch(_ context.Context, url string) (int, []byte, error) {
	a.opened = append(a.opened, url)
	return a.status, a.page, a.err
}

func newAmazon(t *testing.T) *amazon {
	page, err := os.ReadFile(filepath.Join("..", "..", "platform", "provider", "testdata", "certificate.pem"))
	require.NoError(t, err)
	return &amazon{status: http.StatusOK, page: page}
}

func TestAmazonSNS(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		aws := newAmazon(t)
		g := setup(t, db, atThen, func(_ *Config, d *Deps) { d.Fetch = aws.fetch })
		message, topic := recording(t, "aws-sns/notification-v2")
		g.addProvider("aws-sns", topic)
		for _, want := range []int{202, 200} {
			got := g.plain(incoming(message))
			require.Equal(t, want, got.Code, "%s", got.Body)
		}
		require.Len(t, aws.opened, 1, "the certificate is kept")
		require.Contains(t, aws.opened[0], "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-")

		headers := g.storedHeaders()[0]
		require.Contains(t, headers, topic.Reveal(), "a topic's name is no secret")

		confirmation, _ := recording(t, "aws-sns/confirmation")
		require.Equal(t, http.StatusOK, g.plain(incoming(confirmation)).Code)
		require.Len(t, aws.opened, 1, "nothing is opened unless the integration lets it")
		var entry string
		require.NoError(t, db.Get(t.Context(), &entry, `SELECT details FROM audit_entries WHERE action = 'webhook.handshake'`))
		require.Contains(t, entry, `"completed":false`)
		require.Contains(t, entry, `?Action=ConfirmSubscription`, "the operator reads what to open")
		require.Equal(t, 1, g.count("normalized_events"))
	})
}

func TestSubscriptionsAreConfirmedIfTheIntegrationAllowsIt(t *testing.T) {
	aws := newAmazon(t)
	confirming, err := provider.Builtin().Configure("aws-sns", provider.Options{ConfirmSubscriptions: true})
	require.NoError(t, err)
	acme, _ := provider.Builtin().Spec("acme")
	globex, _ := provider.Builtin().Spec("globex")
	registry, err := provider.NewRegistry(acme, globex, confirming)
	require.NoError(t, err)
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, func(_ *Config, d *Deps) { d.Fetch = aws.fetch })
	g.sources.providers = registry
	req, topic := recording(t, "aws-sns/confirmation")
	g.addProvider("aws-sns", topic)
	require.Equal(t, http.StatusOK, g.plain(incoming(req)).Code)
	require.Len(t, aws.opened, 2, "the certificate and the page")
	require.Contains(t, aws.opened[1], "?Action=ConfirmSubscription")

	aws.status = http.StatusInternalServerError
	a := g.do(incoming(req))
	require.Equal(t, http.StatusServiceUnavailable, a.Status, "Amazon tries again")
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	require.Empty(t, g.audit.take(), "that is no mistake of the sender")
}

func TestAFailedCertificateDownloadIsNotTheSendersFault(t *testing.T) {
	now := then
	aws := newAmazon(t)
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Fetch, d.Now = aws.fetch, func() time.Time { return now } })
	req, topic := recording(t, "aws-sns/notification-v1")
	g.addProvider("aws-sns", topic)
	certificate := aws.page
	for _, broken := range []func(){
		func() { aws.err = errors.New("connection refused") },
		func() { aws.err, aws.status = nil, http.StatusBadGateway },
		func() { aws.status, aws.page = http.StatusOK, []byte("<html>") },
		func() { aws.page = []byte("-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n") },
	} {
		broken()
		asked := len(aws.opened)
		for range 3 {
			require.Equal(t, http.StatusServiceUnavailable, g.do(incoming(req)).Status)
		}
		require.Len(t, aws.opened, asked+1, "a failure is kept for a moment")
		now = now.Add(failureAge)
	}
	require.Empty(t, g.audit.take())
	aws.status = http.StatusNotFound
	require.Equal(t, http.StatusUnauthorized, g.do(incoming(req)).Status, "the provider says that there is none")
	require.Equal(t, "unknown_key", g.audit.take()[0].Reason)
	now = now.Add(failureAge)
	aws.page, aws.status = certificate, http.StatusOK
	require.Equal(t, http.StatusAccepted, g.do(incoming(req)).Status)
	without := newCertificates(nil, clock.System)
	require.Nil(t, without.forClient(t.Context(), "192.0.2.1"))
}

func packed(t *testing.T, body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestPackedBodies(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		send := func(body, sent []byte, encoding string) answer {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/acme", bytes.NewReader(sent))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Content-Encoding", encoding)
			r.Header.Set("X-Acme-Signature", sign(string(body)))
			return g.do(r)
		}
		body := []byte(acmeBody("packed"))
		a := send(body, packed(t, body), "gzip")
		require.Equal(t, http.StatusAccepted, a.Status, "%+v", a.Error)
		webhook := g.get("/events/" + a.receipt(t).EventID).object(t)["webhook"].(map[string]any)
		require.NotContains(t, webhook["requestHeaders"], "content-encoding", "what is kept is not packed")
		require.Equal(t, http.StatusOK, send(body, body, "identity").Status)
		require.Equal(t, http.StatusUnauthorized, send(packed(t, body), packed(t, body), "GZIP").Status, "what is signed is what was packed")

		limit := []byte(padded())
		require.Equal(t, http.StatusAccepted, send(limit, packed(t, limit), "gzip").Status, "exactly the limit")
		bomb := []byte(padded() + " ")
		for _, c := range []struct {
			name     string
			sent     []byte
			encoding string
			status   int
			reason   string
		}{
			{"one byte over the limit, unpacked", packed(t, bomb), "gzip", 413, "body_too_large"},
			{"no gzip at all", body, "gzip", 400, "malformed_gzip"},
			{"a gzip that ends too early", packed(t, body)[:40], "gzip", 400, "body_broken"},
			{"packed twice", packed(t, packed(t, body)), "gzip, gzip", 415, "wrong_encoding"},
			{"another encoding", body, "br", 415, "wrong_encoding"},
		} {
			g.audit.take()
			require.Equal(t, c.status, send(body, c.sent, c.encoding).Status, c.name)
			require.Equal(t, c.reason, g.audit.take()[0].Reason, c.name)
		}
	})
}

func TestGETIsAllowedIfTheProviderHasAChallenge(t *testing.T) {
	defined, err := provider.Named{Name: "hub", Definition: provider.Definition{
		Proof:     provider.Proof{Scheme: "hmac", Signature: provider.SignatureDefinition{Header: "X-Hub-Signature-256", Prefix: "sha256="}},
		Event:     provider.EventDefinition{Type: provider.At("text:change")},
		Challenge: provider.ChallengeDefinition{Parameter: "hub.challenge", Token: "hub.verify_token"},
	}}.Spec()
	require.NoError(t, err)
	registry, err := provider.Builtin().With(defined)
	require.NoError(t, err)
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.sources.providers = registry
	g.addProvider("hub", secret.New("an-app-secret"), secret.New("challenge:tok"))
	get := func(path string) *httptest.ResponseRecorder {
		return g.plain(httptest.NewRequest(http.MethodGet, "/api/v1/webhooks/"+path, nil))
	}
	got := get("hub-source?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=tok")
	require.Equal(t, http.StatusOK, got.Code)
	require.Equal(t, "1158201444", got.Body.String())
	require.Equal(t, http.StatusUnauthorized, get("hub-source?hub.challenge=1&hub.verify_token=wrong").Code)
	require.Equal(t, http.StatusUnauthorized, get("hub-source?hub.challenge=1&hub.verify_token=an-app-secret").Code, "a key is no token")
	for key, want := range map[string]int{"an-app-secret": http.StatusAccepted, "tok": http.StatusUnauthorized} {
		req, err := defined.SampleRequest(provider.Sample{Body: `{"n":1}`}, secret.New(key), clock.System(), "http://example.com/api/v1/webhooks/hub-source", "x")
		require.NoError(t, err)
		require.Equal(t, want, g.plain(incoming(req)).Code, "the token of a challenge signs nothing: %s", key)
	}
	require.Equal(t, http.StatusNotFound, get("initech").Code)
	g.audit.take()
	for _, other := range []string{"acme", "acme?hub.challenge=1&hub.verify_token=acme-demo-secret"} {
		got := get(other)
		require.Equal(t, http.StatusMethodNotAllowed, got.Code, "the source is there, and takes no GET")
		require.Equal(t, "POST", got.Header().Get("Allow"))
		require.Contains(t, got.Body.String(), "The source acme is active and accepts webhooks by POST")
		refusal := g.audit.take()[0]
		require.Equal(t, []string{"acme", "wrong_method"}, []string{refusal.Source, refusal.Reason})
	}
}

func TestPUTIsAllowedIfTheDefinitionSaysSo(t *testing.T) {
	spec := func(name string, methods ...string) provider.Spec {
		s, err := provider.Named{Name: name, Definition: provider.Definition{
			Proof: provider.Proof{Scheme: "hmac", Signature: provider.SignatureDefinition{Header: "X-Sig", Over: "{method} {body}"}},
			Event: provider.EventDefinition{ID: provider.At("$.id"), Type: provider.Place{Join: []provider.Place{provider.At("text:order"), provider.At("method")}, With: "."}}, Methods: methods,
		}}.Spec()
		require.NoError(t, err)
		return s
	}
	both, put := spec("both", "POST", "PUT"), spec("put", "PUT")
	registry, err := provider.Builtin().With(both, put)
	require.NoError(t, err)
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.providers = registry
		key := secret.New("a-secret-of-the-tests")
		g.addProvider("both", key)
		g.addProvider("put", key)
		send := func(spec provider.Spec, method, body string, key secret.Value) *httptest.ResponseRecorder {
			spec.Methods = []string{method} // the sample is signed for this method
			req, err := spec.SampleRequest(provider.Sample{Body: body}, key, clock.System(), "http://example.com/api/v1/webhooks/"+spec.Name+"-source", "x")
			require.NoError(t, err)
			r := incoming(req)
			r.Method = req.Method
			return g.plain(r)
		}
		require.Equal(t, http.StatusAccepted, send(both, "PUT", `{"id":"1"}`, key).Code)
		require.Equal(t, http.StatusOK, send(both, "PUT", `{"id":"1"}`, key).Code, "a repeat")
		require.Equal(t, http.StatusAccepted, send(both, "POST", `{"id":"2"}`, key).Code)
		require.Equal(t, http.StatusAccepted, send(put, "PUT", `{"id":"3"}`, key).Code)
		var types []string
		require.NoError(t, g.db.Select(t.Context(), &types, "SELECT event_type FROM normalized_events ORDER BY event_type"))
		require.Equal(t, []string{"order.POST", "order.PUT", "order.PUT"}, types)

		g.audit.take()
		refused := send(put, "POST", `{"id":"4"}`, key)
		require.Equal(t, http.StatusMethodNotAllowed, refused.Code)
		require.Equal(t, "PUT", refused.Header().Get("Allow"))
		require.Contains(t, refused.Body.String(), "accepts webhooks by PUT, not by POST")
		require.Equal(t, "wrong_method", g.audit.take()[0].Reason)
		r := httptest.NewRequest(http.MethodPut, "/api/v1/webhooks/acme", strings.NewReader(`{}`))
		got := g.plain(r)
		require.Equal(t, []any{http.StatusMethodNotAllowed, "POST"}, []any{got.Code, got.Header().Get("Allow")})

		require.Equal(t, http.StatusUnauthorized, send(both, "PUT", `{"id":"5"}`, secret.New("the-next-secret-of-tests")).Code)
		list := g.kept()
		require.Len(t, list, 1)
		g.sources.change("both-source", func(s *settings) { s.Secrets = append(s.Secrets, "the-next-secret-of-tests") })
		_, err := g.module.Release(t.Context(), list[0].ID)
		require.NoError(t, err, "the signed method was kept")
		require.Equal(t, 4, g.count("normalized_events"))
	})
}

func TestOPTIONSIsAnsweredIfTheProviderAsks(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.addProvider("azure-event-grid", secret.New("a-secret-of-the-tests"))
	ask := func(source, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodOptions, "/api/v1/webhooks/"+source, nil)
		r.Header.Set("WebHook-Request-Origin", origin)
		return g.plain(r)
	}
	got := ask("azure-event-grid-source", "eventgrid.azure.net")
	require.Equal(t, http.StatusOK, got.Code)
	require.Equal(t, "eventgrid.azure.net", got.Header().Get("WebHook-Allowed-Origin"))
	require.Equal(t, "*", got.Header().Get("WebHook-Allowed-Rate"))
	require.Equal(t, "POST, OPTIONS", got.Header().Get("Allow"))
	require.Empty(t, got.Body.String())
	other := ask("azure-event-grid-source", "evil.example.com")
	require.Equal(t, http.StatusUnauthorized, other.Code)
	require.Empty(t, other.Header().Get("WebHook-Allowed-Origin"))
	refused := ask("acme", "eventgrid.azure.net")
	require.Equal(t, []any{http.StatusMethodNotAllowed, "POST"}, []any{refused.Code, refused.Header().Get("Allow")})
	require.Equal(t, http.StatusNotFound, ask("initech", "eventgrid.azure.net").Code)
}

func TestHEADIsAllowedIfTheProviderProbes(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.addProvider("intercom", secret.New("k"))
	for source, want := range map[string]int{"intercom-source": 200, "acme": 405, "initech": 404} {
		got := g.plain(httptest.NewRequest(http.MethodHead, "/api/v1/webhooks/"+source, nil))
		require.Equal(t, want, got.Code, source)
		if want == 200 {
			require.Empty(t, got.Body.String())
		}
	}
}

func TestASingleUseProofIsAcceptedWithOneBody(t *testing.T) {
	send := func(g *gateway, req provider.Request) int { return g.plain(incoming(req)).Code }
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen)
	req, key := recording(t, "mailgun/opened")
	g.addProvider("mailgun", key)
	require.Equal(t, http.StatusAccepted, send(g, req))
	require.Equal(t, http.StatusOK, send(g, req), "a repeat is none the worse")
	changed := req
	changed.Body = bytes.Replace(req.Body, []byte("CPgfbmQMTCKtHW6uIWtuVe"), []byte("another"), 1)
	require.Equal(t, http.StatusUnauthorized, send(g, changed))
	require.Equal(t, "used_before", g.audit.take()[0].Reason)
	require.Equal(t, 1, g.count("normalized_events"))

	without := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen, func(_ *Config, d *Deps) { d.Cache = down{} })
	without.addProvider("mailgun", key)
	require.Equal(t, http.StatusAccepted, send(without, req))
	require.Equal(t, http.StatusAccepted, send(without, changed), "without the cache nothing is lost")
}

func TestEachItemOfAnArrayIsAnEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		spec, _ := provider.Builtin().Spec("hubspot")
		g.addProvider("hubspot", secret.New("k"))
		send := func(items ...string) answer {
			sample := provider.Sample{Body: "[" + strings.Join(items, ",") + "]"}
			req, err := spec.SampleRequest(sample, secret.New("k"), then, "http://example.com/api/v1/webhooks/hubspot-source", "x")
			require.NoError(t, err)
			return g.do(incoming(req))
		}
		item := func(eventID, kind string) string {
			return `{"eventId":` + eventID + `,"subscriptionType":"` + kind + `","occurredAt":1767603590123,"objectId":7}`
		}
		first := send(item("1", "a"), item("1", "b"))
		require.Equal(t, http.StatusAccepted, first.Status)
		require.Len(t, first.receipt(t).EventIDs, 2, "an eventId alone is not unique")
		some := send(item("1", "b"), item("2", "b"))
		require.Equal(t, http.StatusAccepted, some.Status, "one of them is new")
		require.Equal(t, first.receipt(t).EventIDs[1], some.receipt(t).EventIDs[0])
		none := send(item("2", "b"), item("1", "a"))
		require.Equal(t, http.StatusOK, none.Status)
		require.True(t, none.receipt(t).Duplicate)
		empty := send()
		require.Equal(t, http.StatusAccepted, empty.Status, "nothing at all is no mistake")
		require.JSONEq(t, `{"eventId":null,"eventIds":[],"status":"empty","duplicate":false,"correlationId":"`+empty.receipt(t).CorrelationID+`"}`, string(empty.Data))
		require.NotEmpty(t, empty.receipt(t).CorrelationID)
		require.Equal(t, http.StatusBadRequest, send(item("3", "a"), "7").Status)
		require.Equal(t, http.StatusBadRequest, send(item("3", "a"), `{"eventId":4}`).Status)
		require.Equal(t, 3, g.count("normalized_events"), "of a body that is refused nothing is stored")
		var audited int
		require.NoError(t, db.Get(t.Context(), &audited, `SELECT count(*) FROM audit_entries WHERE action = 'webhook.handshake' AND details LIKE '%empty_batch%'`))
		require.Equal(t, 1, audited)
	})
}
