package provider

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/secret"
)

// Guide explains how to set up the provider.
type Guide struct {
	Docs  string   // the provider's own page about its signatures
	Steps []string // where to click and what to paste, in order
	Paste string   // what to enter as the integration's secret
}

// Sample is a sample webhook of a provider. In its texts $ID stands for a unique id, and
// $NOW, $UNIX and $MILLIS for the time. What is between $BASE64( and )$ in a form is a field
// in base64.
type Sample struct {
	Type        string            `json:"type"` // the event's type, which selects the sample
	Body        string            `json:"body"`
	Header      map[string]string `json:"header"`
	ContentType string            `json:"contentType"` // "" for JSON
}

// Signer signs a request as the provider does, so that its Verifier accepts it.
type Signer interface {
	// SignRequest signs the request at its time of receipt.
	SignRequest(req *Request, key secret.Value) error
}

// secretMaker is a Signer whose signing key differs from the integration's secret.
type secretMaker interface {
	SecretFor(key secret.Value) (secret.Value, error)
}

// SecretFor returns the secret with which an integration verifies requests signed with key:
// key itself, or its public key.
func (s Spec) SecretFor(key secret.Value) (secret.Value, error) {
	if m, ok := s.Verify.(secretMaker); ok {
		return m.SecretFor(key)
	}
	return key, nil
}

// Signable reports whether the gateway can sign webhooks of this provider.
func (s Spec) Signable() bool {
	_, ok := s.Verify.(Signer)
	return ok
}

// Sample finds a sample by its type; "" selects the first.
func (s Spec) Sample(eventType string) (Sample, error) {
	var types []string
	for _, one := range s.Samples {
		if eventType == "" || one.Type == eventType {
			return one, nil
		}
		types = append(types, one.Type)
	}
	if len(types) == 0 {
		return Sample{}, fmt.Errorf("the provider %s has no samples", s.Name)
	}
	return Sample{}, fmt.Errorf("the provider %s has no sample of the type %s; it has %s", s.Name, eventType, strings.Join(types, ", "))
}

// SampleRequest returns a sample webhook for a URL, signed with key at a time. id replaces
// $ID.
func (s Spec) SampleRequest(sample Sample, key secret.Value, at time.Time, address, id string) (Request, error) {
	signer, ok := s.Verify.(Signer)
	if !ok {
		return Request{}, fmt.Errorf("webhooks of %s can only be signed by %s", s.Name, s.Title)
	}
	req := sample.request(at, address, id)
	if !s.Takes(req.Method) {
		req.Method = s.Methods[0]
	}
	if _, err := url.Parse(address); err != nil {
		return Request{}, fmt.Errorf("the URL %s: %w", address, err)
	}
	return req, signer.SignRequest(&req, key)
}

// request is the unsigned sample.
func (sample Sample) request(at time.Time, address, id string) Request {
	texts := strings.NewReplacer("$ID", id, "$NOW", at.UTC().Format(time.RFC3339),
		"$UNIX", strconv.FormatInt(at.Unix(), 10), "$MILLIS", strconv.FormatInt(at.UnixMilli(), 10))
	req := Request{Method: http.MethodPost, URL: address, Header: http.Header{}, Body: []byte(encoded(texts.Replace(sample.Body))), ReceivedAt: at}
	req.Header.Set("Content-Type", jsonType)
	if sample.ContentType != "" {
		req.Header.Set("Content-Type", sample.ContentType)
	}
	for name, value := range sample.Header {
		req.Header.Set(name, texts.Replace(value))
	}
	return req
}

// encoded writes the part of a form that is in base64.
func encoded(body string) string {
	before, rest, found := strings.Cut(body, "$BASE64(")
	inner, after, closed := strings.Cut(rest, ")$")
	if !found || !closed {
		return body
	}
	return before + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(inner))) + after
}

// ForgedRequest is a SampleRequest with an invalid signature.
func (s Spec) ForgedRequest(sample Sample, at time.Time, address, id string) (req Request, err error) {
	for _, wrong := range []string{"whsec_Zm9yZ2Vk", "forged", "Zm9yZ2Vk", "666f72676564"} {
		if req, err = s.SampleRequest(sample, secret.New(wrong), at, address, id); err == nil {
			break
		}
	}
	return req, err
}
