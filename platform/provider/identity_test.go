package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

// The time and the token are signed as one text. Without a tolerance nothing else would
// notice that digits were moved, and the token would be another one.
func TestDigitsCannotMoveBetweenMailgunsTimeAndToken(t *testing.T) {
	whatever := 0
	s, err := Builtin().Configure("mailgun", Options{ToleranceSeconds: &whatever})
	require.NoError(t, err)
	key, at := secret.New("a-key-of-the-tests"), time.Unix(1_767_603_600, 0)
	for name, c := range map[string]struct {
		timestamp, token string
		good             bool
	}{
		"as they were sent":       {"1767603600", "12ce0edb", true},
		"a digit of the token":    {"17676036001", "2ce0edb", false},
		"two digits of the token": {"176760360012", "ce0edb", false},
		"a digit of the time":     {"176760360", "012ce0edb", false},
	} {
		body, err := json.Marshal(map[string]any{
			"signature":  map[string]any{"timestamp": c.timestamp, "token": c.token, "signature": hexOf(mailgunSum(key, "176760360012ce0edb"))},
			"event-data": map[string]any{"id": "e", "event": "opened"},
		})
		require.NoError(t, err)
		match, err := s.Authenticate(Request{Header: http.Header{}, Body: body, ReceivedAt: at}, []Secret{{ID: "1", Value: key}})
		if !c.good {
			require.Equal(t, string(MalformedSignature), reason(err), name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, "176760360012ce0edb", match.SingleUse)
	}
}

func hexOf(sum []byte) string { return Hex.encode(sum) }

func TestAmazonsHostsNameARegion(t *testing.T) {
	const file = "/SimpleNotificationService-0123456789abcdef.pem"
	for host, good := range map[string]bool{
		"sns.eu-central-1.amazonaws.com": true, "sns.us-gov-west-1.amazonaws.com": true, "sns.cn-north-1.amazonaws.com.cn": true, "sns.ap-southeast-12.amazonaws.com": true,
		"sns.evil.amazonaws.com": false, "sns.x--.amazonaws.com": false, "sns.us-east-1a.amazonaws.com": false, "sns.s3-website.amazonaws.com": false,
		"sns.eu-central-1.amazonaws.com.evil.example": false, "sns.eu-central-1.evil.example": false, "eu-central-1.amazonaws.com": false, "sns.123-a-1.amazonaws.com": false,
	} {
		require.Equal(t, good, snsCertificate.MatchString("https://"+host+file), host)
		require.Equal(t, good, snsPage.MatchString("https://"+host+"/?Action=ConfirmSubscription&Token=t"), host)
	}
}

// Of the body PayPal signs no more than a CRC, so that what is signed may be used once.
func TestAPayPalTransmissionIsSingleUse(t *testing.T) {
	for _, r := range recordings(t) {
		if r.provider != "paypal" {
			continue
		}
		match, err := r.spec(t).Authenticate(r.request(t), []Secret{{ID: "1", Value: secret.New(r.Secret)}})
		require.NoError(t, err)
		require.Equal(t, r.request(t).Header.Get("Paypal-Transmission-Id"), match.SingleUse)
		require.NotEmpty(t, match.SingleUse)
	}
}

// A definition's parts must be told apart, or the end of one could become the start of the
// next under the same signature.
func TestSignedPartsAreSeparated(t *testing.T) {
	for over, good := range map[string]bool{
		"{id}{timestamp}{body}": false, "{timestamp}{id}.{body}": false, "{url}{id}.{body}": false,
		"{id}.{timestamp}.{body}": true, "{timestamp}{body}": true, "{method}{url}{body}": true, "{body}{timestamp}": true,
	} {
		definition := Definition{
			Proof: Proof{Scheme: "hmac", Signature: SignatureDefinition{Header: "X-Sig", Over: over}}, Event: EventDefinition{Type: At("text:x")},
		}
		if strings.Contains(over, "{id}") {
			definition.Signature.ID = "X-Id"
		}
		if strings.Contains(over, "{timestamp}") {
			definition.Timestamp.Header = "X-Time"
		}
		_, err := Builtin().Configure(genericName, Options{Generic: &definition})
		if good {
			require.NoError(t, err, over)
			continue
		}
		require.ErrorContains(t, err, "between {id}, {timestamp}, {url} and places", over)
	}
}

// An id whose header is signed is the signed one, whatever other headers say.
func TestASignedIDTakesPrecedence(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	generic, err := Builtin().Configure(genericName, Options{Generic: &Definition{
		Proof: Proof{Scheme: "standard-webhooks"}, Event: EventDefinition{ID: At("header:Webhook-Id"), Type: At("text:x")}}})
	require.NoError(t, err)
	standard, _ := Builtin().Spec("standard-webhooks")
	key := secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	for _, s := range []Spec{standard, generic} {
		require.False(t, s.IDUnsigned())
		req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"Svix-Id": {"genuine"}}, Body: []byte(`{"type":"x"}`), ReceivedAt: at}
		require.NoError(t, Standard{Prefixes: []string{"svix-"}}.SignRequest(&req, key))
		req.Header.Set("Webhook-Id", "forged")
		match, err := s.Authenticate(req, []Secret{{ID: "1", Value: key}})
		require.NoError(t, err)
		req.SignedID = match.SignedID
		events, err := s.Normalize(req)
		require.NoError(t, err)
		require.Equal(t, "genuine", *events[0].ID)
	}
}

// Webhooks that trigger each other share X-Gitlab-Event-UUID, so that it identifies none.
func TestGitLabsRecursiveWebhooksAreDifferentEvents(t *testing.T) {
	s, _ := Builtin().Spec("gitlab")
	normalized := func(header http.Header) Event {
		header.Set("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e")
		events, err := s.Normalize(Request{Header: header, Body: []byte(`{"object_kind":"push","ref":"refs/heads/main"}`)})
		require.NoError(t, err)
		return events[0]
	}
	require.Nil(t, normalized(http.Header{}).ID, "an older GitLab: the body identifies it")
	require.Equal(t, "k1", *normalized(http.Header{"Idempotency-Key": {"k1"}}).ID)
	require.NotContains(t, s.ReadHeaders(), "X-Gitlab-Event-UUID")
}
