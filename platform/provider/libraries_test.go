package provider

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	gogithub "github.com/google/go-github/v74/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v82/webhook"

	"integration-gateway/platform/secret"
)

// The providers' own libraries verify what our samples send, and our verifiers what
// their signers make.

// sampled is a provider's first sample, signed now.
func sampled(t *testing.T, name string, key secret.Value) Request {
	s, _ := Builtin().Spec(name)
	sample, err := s.Sample("")
	require.NoError(t, err)
	req, err := s.SampleRequest(sample, key, time.Now(), sampleURL, "one")
	require.NoError(t, err)
	return req
}

// authenticated reports whether our verifier takes a request.
func authenticated(name string, header http.Header, body []byte, at time.Time, key secret.Value) error {
	s, _ := Builtin().Spec(name)
	_, err := s.Authenticate(Request{Method: http.MethodPost, URL: sampleURL, Header: header, Body: body, ReceivedAt: at}, []Secret{{ID: "1", Value: key}})
	return err
}

func TestTheLibraryOfStandardWebhooks(t *testing.T) {
	const text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	library, err := standardwebhooks.NewWebhook(text)
	require.NoError(t, err)
	req := sampled(t, "standard-webhooks", secret.New(text))
	require.NoError(t, library.Verify(req.Body, req.Header))
	require.Error(t, library.Verify(append(req.Body, ' '), req.Header))

	at, body := time.Now(), []byte(`{"type":"a","data":{}}`)
	signature, err := library.Sign("msg_1", at, body)
	require.NoError(t, err)
	h := http.Header{}
	h.Set(standardwebhooks.HeaderWebhookID, "msg_1")
	h.Set(standardwebhooks.HeaderWebhookTimestamp, Seconds.format(at))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	for _, name := range []string{"standard-webhooks", "gitlab"} {
		require.NoError(t, authenticated(name, h, body, at, secret.New(text)))
		require.Error(t, authenticated(name, h, append(body, ' '), at, secret.New(text)))
	}
}

func TestTheLibraryOfStripe(t *testing.T) {
	const text = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH"
	req := sampled(t, "stripe", secret.New(text))
	event, err := webhook.ConstructEventWithOptions(req.Body, req.Header.Get("Stripe-Signature"), text, webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	require.NoError(t, err)
	require.Equal(t, "evt_one", event.ID)
	require.Error(t, webhook.ValidatePayload(append(req.Body, ' '), req.Header.Get("Stripe-Signature"), text))

	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(`{"id":"evt_1"}`), Secret: text})
	h := http.Header{"Stripe-Signature": {signed.Header}}
	require.NoError(t, authenticated("stripe", h, signed.Payload, signed.Timestamp, secret.New(text)))
	require.Error(t, authenticated("stripe", h, append(signed.Payload, ' '), signed.Timestamp, secret.New(text)))
}

func TestTheLibraryOfGitHub(t *testing.T) {
	const text = "It's a Secret to Everybody"
	req := sampled(t, "github", secret.New(text))
	received := httptest.NewRequest(http.MethodPost, req.URL, bytes.NewReader(req.Body))
	received.Header = req.Header
	payload, err := gogithub.ValidatePayload(received, []byte(text))
	require.NoError(t, err)
	parsed, err := gogithub.ParseWebHook(gogithub.WebHookType(received), payload)
	require.NoError(t, err)
	require.Equal(t, "opened", parsed.(*gogithub.PullRequestEvent).GetAction())
	require.Equal(t, "one", gogithub.DeliveryID(received))
	require.Error(t, gogithub.ValidateSignature(req.Header.Get(gogithub.SHA256SignatureHeader), append(req.Body, ' '), []byte(text)))

	// The form that GitHub sends, as its library reads it and as ours does.
	for _, r := range recordings(t) {
		if r.provider != "github" || r.name != "form" {
			continue
		}
		recorded := r.request(t)
		payload, err := gogithub.ValidatePayloadFromBody(formType, bytes.NewReader(recorded.Body), recorded.Header.Get(gogithub.SHA256SignatureHeader), []byte(r.Secret))
		require.NoError(t, err)
		events, err := r.spec(t).Normalize(recorded)
		require.NoError(t, err)
		var canonical struct{ Data json.RawMessage }
		require.NoError(t, json.Unmarshal(events[0].Payload, &canonical))
		require.Equal(t, string(payload), string(canonical.Data))
	}
}
