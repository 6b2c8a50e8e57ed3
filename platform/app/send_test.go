package app

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// withGateway runs a gateway with a source of every provider, <name>-source, while f runs.
func withGateway(t *testing.T, f func(ctx context.Context, port int)) {
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	err := runDev(ctx, devConfig(t), quiet, DevOptions{DataDir: t.TempDir(), Out: &bytes.Buffer{}}, func(ctx context.Context, d *devSystem) error {
		for _, s := range provider.Builtin().Specs() {
			if !s.Signable() {
				continue // nothing is sent to it, and only the provider has its secret
			}
			held, err := s.SecretFor(sendKey(s.Name))
			require.NoError(t, err)
			require.NoError(t, d.db.InTx(ctx, func(tx *database.Tx) error {
				_, err := d.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{
					Source: s.Name + "-source", Provider: s.Name, Secrets: []integrations.SecretConfig{{Value: held}}})
				return err
			}))
		}
		go func() {
			defer close(done)
			defer end()
			f(ctx, d.port())
		}()
		return nil
	})
	require.NoError(t, err)
	<-done
}

func sendKey(name string) secret.Value {
	if name == "standard-webhooks" {
		return secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	}
	spec, _ := provider.Builtin().Spec(name)
	for _, text := range []string{"a-secret-of-the-tests", "YS1zZWNyZXQtb2YtdGhlLXRlc3Rz", "gateway:a-secret-of-the-tests", "612d7365637265742d6f662d7468652d74657374732d"} {
		if held, err := spec.SecretFor(secret.New(text)); err == nil && spec.ValidateSecret(held) == nil {
			return secret.New(text)
		}
	}
	return secret.Value{}
}

func TestSamplesOfEveryProviderAreSent(t *testing.T) {
	withGateway(t, func(ctx context.Context, port int) {
		cfg := config.Config{HTTP: config.HTTP{Port: port}}
		for _, s := range provider.Builtin().Specs() {
			if !s.Signable() {
				continue
			}
			for _, sample := range s.Samples {
				var out bytes.Buffer
				o := SendOptions{Provider: s.Name, Source: s.Name + "-source", Type: sample.Type, Secret: sendKey(s.Name), Count: 2, Repeat: true, Out: &out}
				if !assertNoError(t, Send(ctx, cfg, o), s.Name, &out) {
					return
				}
				repeats := 2
				if s.Deduplication.By == provider.ByNone {
					repeats = 0
				}
				if strings.Count(out.String(), " queued  event ") != 4-repeats || strings.Count(out.String(), " duplicate  event ") != repeats {
					t.Errorf("%s: %s", s.Name, &out)
				}
				forged := SendOptions{Provider: s.Name, Source: s.Name + "-source", Type: sample.Type, Secret: sendKey(s.Name), Count: 1, BadSignature: true, Out: &out}
				if !assertNoError(t, Send(ctx, cfg, forged), s.Name, &out) {
					return
				}
			}
		}
		var out bytes.Buffer
		wrong := SendOptions{Provider: "github", Source: "github-source", Secret: secret.New("another"), Count: 1, Out: &out}
		if err := Send(ctx, cfg, wrong); err == nil || !strings.Contains(out.String(), "401") || !strings.Contains(out.String(), "UNEXPECTED: should be 202 queued") {
			t.Errorf("%v: %s", err, &out)
		}
	})
}

// assertNoError may be called from any goroutine.
func assertNoError(t *testing.T, err error, name string, out fmt.Stringer) bool {
	if err != nil {
		t.Errorf("%s: %s: %s", name, err, out)
	}
	return err == nil
}

func TestTheSignedURLMayDiffer(t *testing.T) {
	square, _ := provider.Builtin().Spec("square")
	twilio, _ := provider.Builtin().Spec("twilio")
	var got *http.Request
	var body bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body.Reset()
		_, _ = body.ReadFrom(r.Body)
		got = r
		w.Header().Set("X-Event-Id", "1")
		w.Header().Set("X-Event-Status", "queued")
		w.WriteHeader(http.StatusOK)
	}))
	defer server.Close()
	const public = "https://hooks.example.com/in"
	verify := func(spec provider.Spec) error {
		address := public
		if got.URL.RawQuery != "" {
			address += "?" + got.URL.RawQuery
		}
		_, err := spec.Authenticate(provider.Request{Method: got.Method, URL: address, Header: got.Header, Body: body.Bytes()},
			[]provider.Secret{{ID: "1", Value: secret.New("k")}})
		return err
	}
	o := SendOptions{Provider: "square", To: server.URL + "/there", PublicURL: public, Secret: secret.New("k"), Count: 1, Out: &bytes.Buffer{}}
	require.ErrorIs(t, Send(t.Context(), config.Config{}, o), errSend, "square is answered with 202")
	require.NoError(t, verify(square))
	o.Provider, o.Type = "twilio", "com.twilio.messaging.message.delivered"
	require.NoError(t, Send(t.Context(), config.Config{}, o))
	require.NoError(t, verify(twilio), "what signing appends to the URL is sent too")

	behind := config.Config{HTTP: config.HTTP{Port: 3000, PublicBaseURL: "https://hooks.example.com"}}
	s, err := newSender(behind, SendOptions{Provider: "acme", Count: 1})
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:3000/api/v1/webhooks/acme", s.to)
	require.Equal(t, "https://hooks.example.com/api/v1/webhooks/acme", s.signed)
}
