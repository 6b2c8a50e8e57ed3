package provider

import (
	"net/http"
	"testing"
	"unicode/utf8"

	"encoding/json"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// FuzzProviders sends each provider's verifier and normalizer whatever comes: they
// answer with classified errors, and what they accept becomes well-formed JSON.
func FuzzProviders(f *testing.F) {
	for _, r := range recordings(f) {
		proof := ""
		if headers := r.spec(f).Headers(); len(headers) > 0 {
			proof = r.request(f).Header.Get(headers[0])
		}
		f.Add(r.provider, r.Headers["Content-Type"], proof, r.body)
	}
	f.Add("twilio", formType, "", []byte("%zz=1&&=&a=b"))
	f.Add("hubspot", jsonType, "", []byte("[[],{},null]"))
	f.Add("stripe", jsonType, "t=,t=1,v1=", []byte("{}"))
	specs := Builtin()
	keys := map[string][]Secret{}
	for _, r := range recordings(f) {
		keys[r.provider] = []Secret{{ID: "1", Value: secret.New(r.Secret)}}
	}
	f.Fuzz(func(t *testing.T, name, contentType, proof string, body []byte) {
		s, ok := specs.Spec(name)
		if !ok {
			return
		}
		req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{"Content-Type": {contentType}}, Body: body}
		for _, h := range s.Headers() {
			req.Header.Set(h, proof)
		}
		req.Certificate = certificateOf(t, string(body))
		if _, err := s.Authenticate(req, keys[name]); err != nil {
			require.Contains(t, []fault.Kind{fault.Unauthorized, fault.Unavailable}, fault.KindOf(err), "%v", err)
		}
		_, _ = s.HandshakeReply(req), s.AcknowledgeReply(req, false)
		events, err := s.Normalize(req)
		if err != nil {
			require.Contains(t, []fault.Kind{fault.Invalid, fault.Unauthorized}, fault.KindOf(err), "%v", err)
			return
		}
		require.True(t, len(events) > 0 || s.Events.Items || s.Events.Parts != nil, "only a batch may be empty")
		for _, e := range events {
			require.True(t, json.Valid(e.Payload) || !utf8.Valid(body), "%s", e.Payload)
		}
	})
}
