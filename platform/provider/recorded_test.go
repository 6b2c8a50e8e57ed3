package provider

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/webtoken"
	"integration-gateway/platform/secret"
)

// recorded is a request of testdata/<provider>: as the provider documents it, with a
// published signature, or one that another program made.
type recorded struct {
	provider, name string
	body           []byte

	Source        string            `json:"source"`
	Published     bool              `json:"published"` // the signature stands in the provider's documents
	URL           string            `json:"url"`
	ReceivedAt    time.Time         `json:"receivedAt"`
	Secret        string            `json:"secret"`
	Headers       map[string]string `json:"headers"`
	Events        []recordedEvent   `json:"events"`
	Handshake     *recordedReply    `json:"handshake"`
	Greeting      *recordedReply    `json:"greeting"` // the answer before verification
	Brings        *recordedSecret   `json:"brings"`   // a secret that it stores
	Acknowledge   *recordedReply    `json:"acknowledge"`
	UnsignedBody  bool              `json:"unsignedBody"`  // the signature does not cover the body
	UnsignedParts bool              `json:"unsignedParts"` // nor some members of it
	Decoys        []string          `json:"decoys"`        // parts of headers that prove nothing
}

type recordedEvent struct {
	ID         *string   `json:"id"`
	Type       string    `json:"type"`
	Subject    *string   `json:"subject"`
	OccurredAt time.Time `json:"occurredAt"`
}

type recordedSecret struct {
	Purpose Purpose `json:"purpose"`
	Value   string  `json:"value"`
}

type recordedReply struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
	Open   string `json:"open"`
}

// recordings reads the requests of testdata that must be proved.
func recordings(t testing.TB) []recorded {
	return slices.DeleteFunc(everyRecording(t), func(r recorded) bool { return r.Greeting != nil })
}

func everyRecording(t testing.TB) []recorded {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	require.NoError(t, err)
	require.Greater(t, len(paths), 30)
	var all []recorded
	for _, path := range paths {
		var r recorded
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &r), path)
		r.provider, r.name = filepath.Base(filepath.Dir(path)), strings.TrimSuffix(filepath.Base(path), ".json")
		r.body, err = os.ReadFile(strings.TrimSuffix(path, ".json") + ".body")
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

// TestRecordedGreetings holds requests that are answered before anything is proved.
func TestRecordedGreetings(t *testing.T) {
	all := slices.DeleteFunc(everyRecording(t), func(r recorded) bool { return r.Greeting == nil })
	require.NotEmpty(t, all)
	for _, r := range all {
		s := r.spec(t)
		reply := s.GreetingReply(r.request(t), nil)
		require.NotNil(t, reply, r.provider)
		require.Equal(t, *r.Greeting, recordedReply{reply.Status, string(reply.Body), reply.Open})
		require.True(t, reply.Unproved)
		require.Equal(t, r.Brings != nil, reply.Arrived != nil)
		if r.Brings == nil {
			continue
		}
		require.Equal(t, r.Brings.Purpose, reply.Arrived.Purpose)
		require.Equal(t, r.Brings.Value, reply.Arrived.Value.Reveal())
		require.NotContains(t, fmt.Sprint(s.Explain(r.request(t), nil), *reply.Arrived), r.Brings.Value, "it is not shown")
		_, err := s.Authenticate(r.request(t), []Secret{{ID: "1", Purpose: r.Brings.Purpose, Value: reply.Arrived.Value}})
		require.Error(t, err, "it proves nothing of itself")
	}
}

// request is the recorded one, afresh.
func (r recorded) request(t testing.TB) Request {
	req := Request{Method: http.MethodPost, URL: r.URL, Header: http.Header{}, Body: append([]byte{}, r.body...), ReceivedAt: r.ReceivedAt}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.Keys = []Secret{{ID: "1", Value: secret.New(r.Secret)}}
	req.Certificate = certificateOf(t, string(r.body)+r.Headers["PAYPAL-CERT-URL"])
	req.KeySet = func(url, _ string) ([]jose.JSONWebKey, error) {
		require.Equal(t, "https://www.googleapis.com/oauth2/v3/certs", url, "the address of the definition")
		text, err := os.ReadFile(filepath.Join("testdata", "keys.json"))
		require.NoError(t, err)
		return webtoken.ReadSet(text)
	}
	return req
}

// certificateOf serves the tests' certificate at the addresses that stand in text.
func certificateOf(t testing.TB, text string) func(string) (*x509.Certificate, error) {
	return func(url string) (*x509.Certificate, error) {
		if !strings.Contains(text, url) {
			return nil, fault.Unavailable.New("no_certificate", "none there")
		}
		file, err := os.ReadFile(filepath.Join("testdata", "certificate.pem"))
		require.NoError(t, err)
		block, _ := pem.Decode(file)
		return x509.ParseCertificate(block.Bytes)
	}
}

func (r recorded) spec(t testing.TB) Spec {
	s, ok := Builtin().Spec(r.provider)
	require.True(t, ok, r.provider)
	return s
}

// other is a secret of the right kind that is not the recorded one.
func (r recorded) other(t testing.TB, s Spec) secret.Value {
	switch r.provider {
	case "aws-sns":
		return secret.New(r.Secret + "-2")
	case "standard-webhooks":
		return secret.New("whsec_b3RoZXI=")
	}
	value, err := s.SecretFor(secret.New("another"))
	if err != nil {
		return secret.New("another")
	}
	return value
}

func reason(err error) string {
	if f := fault.As(err); f != nil {
		return f.Reason
	}
	return ""
}

// eachRecording runs f for each recorded request.
func eachRecording(t *testing.T, f func(t *testing.T, r recorded, s Spec, key []Secret)) {
	for _, r := range recordings(t) {
		t.Run(r.provider+"/"+r.name, func(t *testing.T) {
			f(t, r, r.spec(t), []Secret{{ID: "1", Value: secret.New(r.Secret)}})
		})
	}
}

func TestRecordedRequestsBecomeTheirEvents(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		require.NoError(t, s.ValidateSecret(key[0].Value))
		match, err := s.Authenticate(r.request(t), key)
		require.NoError(t, err)
		require.Equal(t, "1", match.SecretID)
		reply := s.HandshakeReply(r.request(t))
		if r.Handshake != nil {
			require.Equal(t, *r.Handshake, recordedReply{reply.Status, string(reply.Body), reply.Open})
			require.NotEmpty(t, reply.What)
			return
		}
		require.Nil(t, reply)
		if r.Events == nil {
			return // a vector whose body is none of the provider's
		}
		req := r.request(t)
		req.SignedID = match.SignedID
		events, err := s.Normalize(req)
		require.NoError(t, err)
		require.Len(t, events, len(r.Events))
		for i, e := range events {
			require.Equal(t, r.Events[i], recordedEvent{e.ID, e.Type, e.Subject, e.OccurredAt})
			require.True(t, json.Valid(e.Payload), "%s", e.Payload)
		}
		if ack := s.AcknowledgeReply(r.request(t), false); r.Acknowledge != nil {
			require.Equal(t, *r.Acknowledge, recordedReply{ack.Status, string(ack.Body), ""})
		} else if ack != nil {
			require.Equal(t, "twilio", r.provider)
		}
	})
}

func TestEveryFlippedByteOfARecordingIsRefused(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		require.Equal(t, r.UnsignedBody || r.UnsignedParts, s.Unsigned != "" && r.name != "signed" && r.provider != "paypal")
		genuine := r.request(t)
		match, err := s.Authenticate(genuine, key)
		require.NoError(t, err)
		genuine.SignedID = match.SignedID
		before := r.outcome(t, s, genuine)
		signed := r.body
		if r.UnsignedBody { // but for a signature that stands in it
			signed, _, _ = bytes.Cut(r.body, []byte(`"event-data"`))
			if len(signed) == len(r.body) {
				signed = nil
			}
		}
		for i := range signed {
			req := r.request(t)
			req.Body[i] ^= 1
			if match, err := s.Authenticate(req, key); err == nil {
				req.SignedID = match.SignedID
				require.Equal(t, before, r.outcome(t, s, req), "byte %d of the body", i)
			}
		}
		for _, name := range s.Headers() {
			value := r.request(t).Header.Get(name)
			for i := range value {
				flipped := []byte(value)
				flipped[i] ^= 1
				req := r.request(t)
				req.Header.Set(name, string(flipped))
				if !r.decoy(value, i) {
					_, err := s.Authenticate(req, key)
					require.Error(t, err, "byte %d of %s", i, name)
				}
			}
		}
	})
}

// outcome is what a request becomes; of one that is signed in part, the signed part.
func (r recorded) outcome(t *testing.T, s Spec, req Request) any {
	if reply := s.HandshakeReply(req); reply != nil {
		return *reply
	}
	events, err := s.Normalize(req)
	if err != nil {
		return nil
	}
	if r.UnsignedParts || r.UnsignedBody {
		for i := range events {
			events[i].Payload = nil
		}
	}
	return events
}

// decoy reports whether byte i of a header's value belongs to a part that proves nothing.
func (r recorded) decoy(value string, i int) bool {
	for _, d := range r.Decoys {
		if at := strings.Index(value, d); at >= 0 && i >= at-1 && i < at+len(d) {
			return true
		}
	}
	return false
}

func TestSecretsOfARecording(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		other := Secret{ID: "2", Value: r.other(t, s)}
		_, err := s.Authenticate(r.request(t), []Secret{other})
		require.Equal(t, string(NoMatch), reason(err))
		require.Contains(t, fault.As(err).Detail(), "1 secrets")
		require.NotContains(t, err.Error(), "secrets matched", "the sender learns nothing")
		match, err := s.Authenticate(r.request(t), []Secret{other, key[0]})
		require.NoError(t, err)
		require.Equal(t, "1", match.SecretID)
		match, err = s.Authenticate(r.request(t), []Secret{key[0], other})
		require.NoError(t, err)
		require.Equal(t, "1", match.SecretID)
		_, err = s.Authenticate(r.request(t), nil)
		require.Equal(t, string(NoMatch), reason(err))
		_, err = s.Authenticate(r.request(t), []Secret{{ID: "3"}})
		require.Equal(t, string(NoMatch), reason(err), "an empty secret matches nothing")
	})
}

func TestBothEdgesOfTheToleranceOfARecording(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		match, err := s.Authenticate(r.request(t), key)
		require.NoError(t, err)
		if match.SignedAt.IsZero() {
			require.True(t, s.Tolerance == 0 || r.provider == "gitlab", "a tolerance without a signed time")
			return
		}
		require.NotZero(t, s.Tolerance, "a signed time without a tolerance")
		for _, c := range []struct {
			off    time.Duration
			detail string // "" when it is within
		}{
			{s.Tolerance, ""},
			{-s.Tolerance, ""},
			{s.Tolerance + time.Millisecond, " ago, 1 s outside tolerance"},
			{s.Tolerance + 412*time.Second, " ago, 412 s outside tolerance"},
			{-s.Tolerance - time.Millisecond, " in the future, 1 s outside tolerance"},
		} {
			req := r.request(t)
			req.ReceivedAt = match.SignedAt.Add(c.off)
			_, err := s.Authenticate(req, key)
			if c.detail == "" {
				require.NoError(t, err, "%s", c.off)
				continue
			}
			require.Equal(t, string(OutsideTolerance), reason(err), "%s", c.off)
			require.Contains(t, fault.As(err).Detail(), c.detail)
		}
		none := 0
		lenient, err := Builtin().Configure(r.provider, Options{ToleranceSeconds: &none})
		require.NoError(t, err)
		req := r.request(t)
		req.ReceivedAt = match.SignedAt.Add(30 * 24 * time.Hour)
		_, err = lenient.Authenticate(req, key)
		require.NoError(t, err)
	})
}

func TestHeadersOfARecording(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		for _, name := range s.Headers() {
			value := r.request(t).Header.Get(name)
			if value == "" {
				continue
			}
			req := r.request(t)
			req.Header.Add(name, value)
			_, err := s.Authenticate(req, key)
			require.Equal(t, string(DuplicateHeader), reason(err), name)
			require.Contains(t, strings.ToLower(fault.As(err).Detail()), strings.ToLower("the header "+name+" is given 2 times"))
			req = r.request(t)
			req.Header.Del(name)
			_, err = s.Authenticate(req, key)
			require.Equal(t, string(MissingHeader), reason(err), name)
			require.Contains(t, strings.ToLower(fault.As(err).Detail()), "missing header")
		}
	})
}

// signedOf is the layout of a scheme that has one.
func signedOf(v Verifier) (Signed, bool) {
	switch v := v.(type) {
	case HMAC:
		return v.Signed, true
	case PublicKey:
		return v.Signed, true
	}
	return Signed{}, false
}

// bodyText is how a value stands at a place in a body.
func bodyText(at spot, value string) []byte {
	if at.kind == inForm {
		return []byte(url.QueryEscape(value))
	}
	return quoted(value).asSent()
}

func TestSpellingsOfSignatures(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		l, ok := signedOf(s.Verify)
		if !ok {
			return
		}
		if l.At == nil {
			l.At = []spot{{kind: inHeader, name: l.Header}}
		}
		value, err := l.At[0].read(r.request(t))
		require.NoError(t, err)
		try := func(changed string) error {
			req := r.request(t)
			req.Header.Del(l.At[0].name)
			req.Body = bytes.Replace(req.Body, bodyText(l.At[0], value), []byte("$PROOF"), 1)
			l.At[0].write(&req, changed)
			_, err := s.Authenticate(req, key)
			return err
		}
		if l.Encoding == Hex {
			items := strings.Split(value, or(l.Separator, "\n"))
			for i, item := range items {
				if text, found := strings.CutPrefix(item, l.Prefix); found || l.Bare {
					items[i] = strings.TrimSuffix(item, text) + strings.ToUpper(text)
				}
			}
			require.NoError(t, try(strings.Join(items, or(l.Separator, "\n"))), "hex in upper case")
		}
		if l.Separator != "" {
			junk := l.Prefix + l.Encoding.encode(make([]byte, 32))
			require.NoError(t, try(value+l.Separator+junk), "a wrong signature behind it")
			require.NoError(t, try(junk+l.Separator+value), "a wrong signature before it")
			require.Equal(t, string(MalformedSignature), reason(try(strings.Repeat(junk+l.Separator, maxSignatures)+value)), "too many to try")
		}
		require.Equal(t, string(MalformedSignature), reason(try("no signature!")))
		if l.Prefix != "" && !l.Bare {
			require.Equal(t, string(MalformedSignature), reason(try(strings.ReplaceAll(value, l.Prefix, ""))), "without its prefix")
			require.Equal(t, string(MalformedSignature), reason(try(l.Prefix)), "its prefix alone")
		}
	})
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

func TestTheURLOfARecording(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recorded, s Spec, key []Secret) {
		inside := r.request(t)
		_, query, _ := strings.Cut(r.URL, "?")
		inside.URL = "http://10.0.0.7:3000/api/v1/webhooks/somewhere?" + query
		_, err := s.Authenticate(inside, key)
		require.Equal(t, s.SignsURL, err != nil, "what is signed is the URL that the provider has")
		public, _, _ := strings.Cut(r.URL, "?")
		configured, err := Builtin().Configure(r.provider, Options{PublicURL: public})
		if r.provider == genericName {
			return
		}
		require.NoError(t, err)
		if query == "" {
			inside.URL = strings.TrimSuffix(inside.URL, "?")
		}
		_, err = configured.Authenticate(inside, key)
		require.NoError(t, err, "publicUrl says which one that is")
	})
}
