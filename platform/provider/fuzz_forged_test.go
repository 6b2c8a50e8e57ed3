package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// FuzzForgedSignatures: whatever stands in a provider's headers, nothing verifies with a
// secret that its author does not know.
func FuzzForgedSignatures(f *testing.F) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	unknown := map[string][]Secret{}
	for _, s := range Builtin().Specs() {
		if !s.Signable() || len(s.Samples) == 0 {
			continue
		}
		key := secret.New("what nobody knows: 5f0c2b7e9a1d4c83")
		if strings.HasPrefix(sampleKey(s.Name).Reveal(), "whsec_") {
			key = secret.New("whsec_bm9ib2R5LWtub3dzLXRoaXMtNWYwYzJiN2U=")
		}
		held, err := s.SecretFor(key)
		require.NoError(f, err)
		unknown[s.Name] = []Secret{{ID: "1", Value: held}}
		req, err := s.SampleRequest(s.Samples[0], sampleKey(s.Name), at, sampleURL, "one")
		require.NoError(f, err)
		for _, name := range s.Headers() {
			f.Add(s.Name, req.Header.Get(name), at.Format(time.RFC3339), req.Body)
		}
		f.Add(s.Name, "", "", []byte(""))
		f.Add(s.Name, "t=1767603600,v1=,v1="+strings.Repeat("00", 32), "1767603600", []byte("{}"))
		f.Add(s.Name, "v1,", "1767603600", []byte("{}"))
		f.Add(s.Name, "sha256=", "0", []byte("{}"))
	}
	require.Greater(f, len(unknown), 10)
	registry := Builtin()
	f.Fuzz(func(t *testing.T, name, first, second string, body []byte) {
		s, ok := registry.Spec(name)
		if !ok || unknown[name] == nil {
			return
		}
		req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"Content-Type": {jsonType}}, Body: body, ReceivedAt: at}
		for i, h := range s.Headers() {
			req.Header.Set(h, []string{first, second}[i%2])
		}
		_, err := s.Authenticate(req, unknown[name])
		require.Equal(t, fault.Unauthorized, fault.KindOf(err), "%v", err)
	})
}

// FuzzDefinition: a provider of one's own is refused by name, or takes whatever comes.
func FuzzDefinition(f *testing.F) {
	for _, text := range []string{
		timestamped, `{"scheme":"token","signature":{"header":"Authorization","prefix":"Bearer "},"event":{"id":"$.things[0].id","type":"$.kind"}}`,
		`{"scheme":"basic","event":{"type":"$..a"},"forms":true}`, `{"scheme":"standard-webhooks","event":{"type":"$[?@.a==1]","items":true}}`,
		`{"scheme":"hmac","signature":{"header":"X","over":"{url}{"},"event":{"type":"text:"}}`, `{"scheme":"hmac","signature":{"header":"X: a"},"event":{"type":"$[?match(@.a,'(a+)+')]"}}`,
		`{"scheme":"token","signature":{"header":"X"},"event":{"type":"header:X","time":"$.t","timeUnit":"seconds"},"challenge":{"parameter":"a","token":"b"},"timestamp":{"toleranceSeconds":-1}}`,
	} {
		f.Add([]byte(text), []byte(`{"kind":"a","when":1e300,"things":[{"id":1,"main":true}]}`))
	}
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	registry := Builtin()
	f.Fuzz(func(t *testing.T, text, body []byte) {
		var d Definition
		if json.Unmarshal(text, &d) != nil {
			return
		}
		s, err := registry.Configure(genericName, Options{Generic: &d})
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
			require.NotEmpty(t, fault.As(err).Fields, "%v", err)
			return
		}
		key := []Secret{{ID: "1", Value: secret.New("whsec_aGk=")}}
		req := Request{Method: http.MethodPost, URL: sampleURL + "?a=b", Header: http.Header{"Content-Type": {jsonType}}, Body: body, ReceivedAt: at}
		if _, err := s.Authenticate(req, key); err != nil {
			require.Equal(t, fault.Unauthorized, fault.KindOf(err), "%v", err)
		}
		if s.Challenge != nil {
			_, _ = s.Challenge(req, key)
		}
		events, err := s.Normalize(req)
		if err != nil {
			require.Contains(t, []fault.Kind{fault.Invalid, fault.Unauthorized}, fault.KindOf(err), "%v", err)
			return
		}
		require.NotEmpty(t, events)
	})
}
