package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// SendOptions say which samples to send and where.
type SendOptions struct {
	Provider     string
	Type         string // "" for the provider's first sample
	To           string // "" for the gateway on this machine
	Source       string // "" for the provider's name
	PublicURL    string
	Secret       secret.Value
	Count        int
	BadSignature bool
	Repeat       bool
	Out          io.Writer
}

// UsageError is a mistake in a command's options.
type UsageError string

func (m UsageError) Error() string { return string(m) }

func usageError(format string, args ...any) error { return UsageError(fmt.Sprintf(format, args...)) }

const (
	maxSend     = 10_000
	sendTimeout = 30 * time.Second
	maxReceipt  = 1 << 20
)

// errSend ends a send with an unexpected response.
var errSend = errors.New("not every response was as expected")

// Send sends samples one after the other and prints each response.
func Send(ctx context.Context, cfg config.Config, o SendOptions) error {
	s, err := newSender(cfg, o)
	if err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	if held, err := s.spec.SecretFor(s.o.Secret); err != nil {
		return usageError("--secret: %s", err)
	} else if !held.Equal(s.o.Secret.Reveal()) {
		s.print("the webhooks are signed with a key derived from the secret; configure the integration with the public key: %s", held.Reveal())
	}
	ok := true
	start := clock.System()
	for i := range o.Count {
		// A millisecond apart: some providers' ids contain the time.
		expected, err := s.sendOne(ctx, start.Add(time.Duration(i)*time.Millisecond))
		if err != nil {
			return err
		}
		ok = ok && expected
	}
	if !ok {
		return errSend
	}
	return nil
}

// sender sends one provider's samples to one address.
type sender struct {
	o      SendOptions
	spec   provider.Spec
	sample provider.Sample
	to     string // address to send to
	signed string // the URL that is signed
	client *http.Client
}

func newSender(cfg config.Config, o SendOptions) (*sender, error) {
	registry, err := Providers(cfg)
	if err != nil {
		return nil, err
	}
	spec, ok := registry.Spec(o.Provider)
	if !ok {
		return nil, usageError("unknown provider %s; the providers are %s", o.Provider, strings.Join(registry.Names(), ", "))
	}
	if !spec.Signable() {
		return nil, usageError("the webhooks of %s can only be signed by %s", spec.Name, spec.Title)
	}
	if o.Count < 1 || o.Count > maxSend {
		return nil, usageError("--count must be from 1 to %d", maxSend)
	}
	if o.Secret.Empty() {
		o.Secret = demoSecretOf(o.Provider)
	}
	if o.Secret.Empty() {
		return nil, usageError("give the secret of the integration with --secret or GATEWAY_SEND_SECRET: %s", spec.Guide.Paste)
	}
	s := &sender{o: o, spec: spec, to: o.To, signed: o.PublicURL, client: &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if s.sample, err = spec.Sample(o.Type); err != nil {
		return nil, usageError("%s", err)
	}
	return s, s.address(cfg)
}

// address determines the address to send to, and the URL to sign.
func (s *sender) address(cfg config.Config) error {
	source := s.o.Source
	if source == "" {
		source = s.o.Provider
	}
	path := httpapi.Base + "/webhooks/" + url.PathEscape(source)
	if s.to == "" {
		if cfg.HTTP.Port == 0 {
			return usageError("APP_PORT is 0; give the gateway's address with --to")
		}
		s.to = fmt.Sprintf("http://127.0.0.1:%d%s", cfg.HTTP.Port, path)
	}
	if u, err := url.Parse(s.to); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usageError("--to must be an address such as http://127.0.0.1:3000%s", path)
	}
	switch {
	case s.signed != "":
	case s.o.To == "" && cfg.HTTP.PublicBaseURL != "":
		s.signed = cfg.HTTP.PublicBaseURL + path
	default:
		s.signed = s.to
	}
	return nil
}

func demoSecretOf(name string) secret.Value {
	for _, s := range demoSources() {
		if s.name == name {
			return secret.New(s.secret)
		}
	}
	return secret.Value{}
}

// sendOne sends one sample, once or twice, and reports whether the responses are as
// expected.
func (s *sender) sendOne(ctx context.Context, at time.Time) (bool, error) {
	sampleID := id.New()
	req, err := s.spec.SampleRequest(s.sample, s.o.Secret, at, s.signed, sampleID)
	if s.o.BadSignature {
		req, err = s.spec.ForgedRequest(s.sample, at, s.signed, sampleID)
	}
	if err != nil {
		return false, usageError("--secret: %s", err)
	}
	first, err := s.post(ctx, req)
	if err != nil {
		return false, err
	}
	ok := s.checkAnswer(req, first, statusNew)
	if !s.o.Repeat {
		return ok, nil
	}
	second, err := s.post(ctx, req)
	if err != nil {
		return false, err
	}
	status, known := statusRepeated, s.spec.Deduplication.By != provider.ByNone
	if !known {
		status = statusNew // each request is an event
	}
	return s.checkAnswer(req, second, status) && ok && known == (first.eventID == second.eventID), nil
}

// The statuses in a receipt.
const (
	statusNew      = "queued"
	statusRepeated = "duplicate"
)

// receipt is the response to a webhook.
type receipt struct {
	code            int
	status, eventID string
	events          int // the number of events, if there are several
	message         string
}

// checkAnswer prints a response and reports whether it is as expected.
func (s *sender) checkAnswer(req provider.Request, got receipt, status string) bool {
	want := map[string]int{statusNew: http.StatusAccepted, statusRepeated: http.StatusOK}[status]
	if reply := s.spec.AcknowledgeReply(req, status == statusRepeated); reply != nil {
		want = reply.Status
	}
	if s.o.BadSignature {
		want, status = http.StatusUnauthorized, ""
		if s.spec.Refusal != nil {
			want = s.spec.Refusal.Status
		}
	}
	ok := got.code == want && got.status == status
	line := fmt.Sprintf("%s  %d %s", s.sample.Type, got.code, got.describe())
	if !ok {
		line += fmt.Sprintf("  UNEXPECTED: should be %d %s", want, status)
	}
	s.print("%s", strings.TrimRight(line, " "))
	return ok
}

func (a receipt) describe() string {
	switch {
	case a.events > 1:
		return fmt.Sprintf("%s  event %s and %d more", a.status, a.eventID, a.events-1)
	case a.eventID != "":
		return a.status + "  event " + a.eventID
	}
	return a.message
}

func (s *sender) print(format string, args ...any) { _, _ = fmt.Fprintf(s.o.Out, format+"\n", args...) }

// post sends a request to its address, including what signing appended to the URL.
func (s *sender) post(ctx context.Context, req provider.Request) (receipt, error) {
	target := s.to
	if query := strings.TrimPrefix(req.URL, s.signed); query != "" {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + query[1:]
	}
	out, err := http.NewRequestWithContext(ctx, req.Method, target, bytes.NewReader(req.Body))
	if err != nil {
		return receipt{}, fmt.Errorf("make the request: %w", err)
	}
	out.Header = req.Header.Clone()
	res, err := s.client.Do(out)
	if err != nil {
		return receipt{}, fmt.Errorf("send to %s: %w", s.to, errors.Unwrap(err))
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReceipt))
	if err != nil {
		return receipt{}, fmt.Errorf("read the response: %w", err)
	}
	return answered(res, body), nil
}

// answered reads a receipt from the body, or from the header if the body has the provider's
// format.
func answered(res *http.Response, body []byte) receipt {
	a := receipt{code: res.StatusCode, status: res.Header.Get("X-Event-Status"), eventID: res.Header.Get("X-Event-Id")}
	var envelope struct {
		Data struct {
			EventID  string   `json:"eventId"`
			EventIDs []string `json:"eventIds"`
			Status   string   `json:"status"`
		} `json:"data"`
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &envelope) == nil {
		a.message, a.events = envelope.Error.Message, len(envelope.Data.EventIDs)
		if envelope.Data.EventID != "" {
			a.eventID, a.status = envelope.Data.EventID, envelope.Data.Status
		}
	}
	return a
}
