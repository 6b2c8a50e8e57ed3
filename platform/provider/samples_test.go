package provider

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

const sampleURL = "https://hooks.example.com/api/v1/webhooks/x"

// sampleKey is a key that a provider's samples can be signed with.
func sampleKey(name string) secret.Value {
	switch name {
	case "standard-webhooks", "gitlab":
		return secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	case "airtable":
		return secret.New("dGhpcnR5LXR3byBieXRlcyBvZiBhIG1hYyBzZWNyZXQ=")
	case "adyen", "adyen-platforms":
		return secret.New("44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056")
	case "azure-devops", "postmark":
		return secret.New("gateway:a password of the tests")
	}
	return secret.New("a secret of the tests")
}

func TestSamplesAreWhatTheirProvidersSend(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for _, s := range Builtin().Specs() {
		for _, sample := range s.Samples {
			t.Run(s.Name+"/"+sample.Type, func(t *testing.T) {
				key := sampleKey(s.Name)
				held, err := s.SecretFor(key)
				require.NoError(t, err)
				require.NoError(t, s.ValidateSecret(held))
				send := func(id string) ([]Event, Request) {
					req, err := s.SampleRequest(sample, key, at, sampleURL, id)
					require.NoError(t, err)
					match, err := s.Authenticate(req, []Secret{{ID: "1", Value: held}})
					require.NoError(t, err)
					req.SignedID = match.SignedID
					require.Nil(t, s.HandshakeReply(req))
					events, err := s.Normalize(req)
					require.NoError(t, err)
					return events, req
				}
				events, req := send("one")
				require.True(t, s.Accepts(req.Header.Get("Content-Type")))
				var types []string
				for _, e := range events {
					types = append(types, e.Type)
					require.True(t, json.Valid(e.Payload))
					require.Equal(t, at, e.OccurredAt)
				}
				require.Contains(t, types, sample.Type)
				again, _ := send("one")
				require.Equal(t, events, again)
				other, _ := send("two")
				for i := range events {
					if events[i].ID != nil && s.Name != "hubspot" && s.Name != "telegram" { // whose ids are of the time
						require.NotEqual(t, *events[i].ID, *other[i].ID)
					}
				}
				require.NotEqual(t, events, other)
			})
		}
	}
}

func TestEveryProviderIsDocumented(t *testing.T) {
	recorded := map[string]bool{}
	for _, r := range recordings(t) {
		recorded[r.provider] = true
		require.NotEmpty(t, r.Source, r.provider)
	}
	for _, s := range Builtin().Specs() {
		require.NotEmpty(t, s.Title, s.Name)
		require.NotEmpty(t, s.Help, s.Name)
		require.NotEmpty(t, s.Guide.Steps, s.Name)
		require.NotEmpty(t, s.Guide.Paste, s.Name)
		if s.Name == genericName {
			continue
		}
		require.True(t, recorded[s.Name], "testdata/%s has a request of %s", s.Name, s.Title)
		require.Equal(t, s.Signable(), len(s.Samples) > 0, s.Name)
		if s.Name != "acme" && s.Name != "globex" {
			require.Contains(t, s.Guide.Docs, "https://", s.Name)
		}
	}
}
