package provider

import (
	"encoding/base64"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

// bombs are bodies of 1 MB that a kilobyte unpacks to, each made for a parser: as many
// fields, members or levels as there is room for.
func bombs(kind string) map[string][]byte {
	const size = 1 << 20
	if kind == formType {
		return map[string][]byte{
			"fields without a name":  []byte(strings.Repeat("&", size)),
			"fields of one letter":   []byte(strings.Repeat("a&", size/2)),
			"fields with a value":    []byte(strings.Repeat("a=b&", size/4)),
			"one field of escapes":   []byte("a=" + strings.Repeat("%41", size/3)),
			"as many as are allowed": []byte(strings.Repeat("a="+strings.Repeat("x", size/maxFields-4)+"&", maxFields-1)),
		}
	}
	var members strings.Builder
	for i := 0; members.Len() < size-20; i++ {
		members.WriteString(`,"` + base64.RawStdEncoding.EncodeToString([]byte{byte(i), byte(i >> 8), byte(i >> 16)}) + `":1`)
	}
	return map[string][]byte{
		"members":               []byte(`{"TopicArn":"x"` + members.String() + `}`),
		"members with one name": []byte(`{"TopicArn":"x"` + strings.Repeat(`,"a":1`, size/6) + `}`),
		"one long text":         []byte(`{"TopicArn":"` + strings.Repeat("x", size-20) + `"}`),
		"members within":        []byte(`{"signature":{"TopicArn":"x"` + members.String() + `}}`),
	}
}

// Twenty forms of 5 kB made 1.8 GB and took 16 s before anybody knew whether they came from
// Twilio. What a refusal costs is held against what reading and hashing the body costs.
func TestAnUnsignedRequestCostsNoMoreThanItsBytes(t *testing.T) {
	const key = "a-secret-of-nobody-in-particular"
	for _, spec := range allSpecs() {
		for _, kind := range append([]string{jsonType}, spec.ContentTypes...) {
			for name, body := range bombs(kind) {
				t.Run(spec.Name+"/"+kind+"/"+name, func(t *testing.T) {
					req := forged(spec, kind, body)
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					began := time.Now()
					_, err := spec.Authenticate(req, []Secret{{ID: "1", Value: secret.New(key)}})
					took := time.Since(began)
					runtime.ReadMemStats(&after)
					require.Error(t, err)
					made := after.TotalAlloc - before.TotalAlloc
					t.Logf("%d bytes, %s", made, took)
					require.LessOrEqual(t, made, uint64(4*len(body)), "bytes of memory")
					require.Less(t, took, 1000*lookingAt(body)+2*time.Second, "against reading the body once, on this machine as it is now")
				})
			}
		}
	}
}

// lookingAt is how long it takes to look at every byte of a body.
func lookingAt(body []byte) time.Duration {
	began := time.Now()
	letters := 0
	for _, b := range body {
		if b > ' ' {
			letters++
		}
	}
	if letters == 0 {
		return 0
	}
	return time.Since(began)
}

func allSpecs() []Spec {
	var all []Spec
	for _, s := range Builtin().Specs() {
		if s.Name != genericName {
			all = append(all, s)
		}
	}
	return all
}

// forged is a request with everything that a check of its form asks for: headers of a
// sample, with another body.
func forged(spec Spec, kind string, body []byte) Request {
	req := Request{Method: http.MethodPost, URL: sampleURL, Header: http.Header{}, Body: []byte(`{"id":"1","signature":{}}`), ReceivedAt: time.Now()}
	if signer, ok := spec.Verify.(Signer); ok {
		_ = signer.SignRequest(&req, secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	}
	for _, name := range spec.Headers() {
		if req.Header.Get(name) == "" {
			req.Header.Set(name, "1")
		}
	}
	req.Header.Set("Content-Type", kind)
	req.Body = slices.Clone(body)
	return req
}
