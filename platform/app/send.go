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

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// SendOptions say which samples to send where.
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

// Misuse is a mistake in what a command was asked.
type Misuse string

func (m Misuse) Error() string { return string(m) }

func misuse(format string, args ...any) error { return Misuse(fmt.Sprintf(format, args...)) }

const (
	maxSend     = 10_000
	sendTimeout = 30 * time.Second
	maxReceipt  = 1 << 20
)

// errSend is the end of a send in which an answer was not what it should be.
var errSend = errors.New("not every answer was what it should be")

// Send sends samples one after the other and prints what each was answered.
func Send(ctx context.Context, cfg config.Config, o SendOptions) error {
	s, err := newSender(cfg, o)
	if err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	if held, err := s.spec.SecretFor(s.o.Secret); err != nil {
		return misuse("--secret: %s", err)
	} else if !held.Equal(s.o.Secret.Reveal()) {
		s.print("these are signed with a key derived from the secret; the integration's own is the public one: %s", held.Reveal())
	}
	well := true
	start := clock.System()
	for i := range o.Count {
		// A millisecond apart: some providers' ids are made of the time.
		as, err := s.sendOne(ctx, start.Add(time.Duration(i)*time.Millisecond))
		if err != nil {
			return err
		}
		well = well && as
	}
	if !well {
		return errSend
	}
	return nil
}

// sender sends one provider's samples to one place.
type sender struct {
	o      SendOptions
	spec   provider.Spec
	sample provider.Sample
	to     string // where to
	signed string // the URL that is signed
	client *http.Client
}

func newSender(cfg config.Config, o SendOptions) (*sender, error) {
	registry, err := providers(cfg)
	if err != nil {
		return nil, err
	}
	spec, ok := registry.Spec(o.Provider)
	if !ok {
		return nil, misuse("there is no provider %s; there are %s", o.Provider, strings.Join(registry.Names(), ", "))
	}
	if !spec.Signable() {
		return nil, misuse("the webhooks of %s can be signed by %s alone", spec.Name, spec.Title)
	}
	if o.Count < 1 || o.Count > maxSend {
		return nil, misuse("--count must be from 1 to %d", maxSend)
	}
	if o.Secret.Empty() {
		o.Secret = demoSecretOf(o.Provider)
	}
	if o.Secret.Empty() {
		return nil, misuse("give the secret of the integration with --secret or GATEWAY_SEND_SECRET: %s", spec.Guide.Paste)
	}
	s := &sender{o: o, spec: spec, to: o.To, signed: o.PublicURL, client: &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if s.sample, err = spec.Sample(o.Type); err != nil {
		return nil, misuse("%s", err)
	}
	return s, s.address(cfg)
}

// address finds out where to send to, and which URL to sign.
func (s *sender) address(cfg config.Config) error {
	source := s.o.Source
	if source == "" {
		source = s.o.Provider
	}
	path := httpapi.Base + "/webhooks/" + url.PathEscape(source)
	if s.to == "" {
		if cfg.HTTP.Port == 0 {
			return misuse("APP_PORT is 0, so name the gateway's address with --to")
		}
		s.to = fmt.Sprintf("http://127.0.0.1:%d%s", cfg.HTTP.Port, path)
	}
	if u, err := url.Parse(s.to); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return misuse("--to must be an address such as http://127.0.0.1:3000%s", path)
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

// sendOne sends one sample, once or twice, and reports whether the answers are what
// they should be.
func (s *sender) sendOne(ctx context.Context, at time.Time) (bool, error) {
	sampleID := id.New()
	req, err := s.spec.SampleRequest(s.sample, s.o.Secret, at, s.signed, sampleID)
	if s.o.BadSignature {
		req, err = s.spec.ForgedRequest(s.sample, at, s.signed, sampleID)
	}
	if err != nil {
		return false, misuse("--secret: %s", err)
	}
	first, err := s.post(ctx, req)
	if err != nil {
		return false, err
	}
	well := s.judge(req, first, statusNew)
	if !s.o.Repeat {
		return well, nil
	}
	second, err := s.post(ctx, req)
	if err != nil {
		return false, err
	}
	return s.judge(req, second, statusRepeated) && well && first.eventID == second.eventID, nil
}

// What a receipt says of an event.
const (
	statusNew      = "queued"
	statusRepeated = "duplicate"
)

// sent is what a webhook was answered.
type sent struct {
	code            int
	status, eventID string
	events          int // how many of them, where there are several
	message         string
}

// judge prints an answer and reports whether it is what it should be.
func (s *sender) judge(req provider.Request, got sent, status string) bool {
	want := map[string]int{statusNew: http.StatusAccepted, statusRepeated: http.StatusOK}[status]
	if reply := s.spec.Acknowledges(req); reply != nil {
		want = reply.Status
	}
	if s.o.BadSignature {
		want, status = http.StatusUnauthorized, ""
	}
	well := got.code == want && got.status == status
	line := fmt.Sprintf("%s  %d %s", s.sample.Type, got.code, got.describe())
	if !well {
		line += fmt.Sprintf("  WRONG: it should be %d %s", want, status)
	}
	s.print("%s", strings.TrimRight(line, " "))
	return well
}

func (a sent) describe() string {
	switch {
	case a.events > 1:
		return fmt.Sprintf("%s  event %s and %d more", a.status, a.eventID, a.events-1)
	case a.eventID != "":
		return a.status + "  event " + a.eventID
	}
	return a.message
}

func (s *sender) print(format string, args ...any) { _, _ = fmt.Fprintf(s.o.Out, format+"\n", args...) }

// post sends a request where it is to go, with what its signing put behind the URL.
func (s *sender) post(ctx context.Context, req provider.Request) (sent, error) {
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
		return sent{}, fmt.Errorf("make the request: %w", err)
	}
	out.Header = req.Header.Clone()
	res, err := s.client.Do(out)
	if err != nil {
		return sent{}, fmt.Errorf("send to %s: %w", s.to, errors.Unwrap(err))
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReceipt))
	if err != nil {
		return sent{}, fmt.Errorf("read the answer: %w", err)
	}
	return answered(res, body), nil
}

// answered reads a receipt from the body, or from the header where the body is the
// provider's.
func answered(res *http.Response, body []byte) sent {
	a := sent{code: res.StatusCode, status: res.Header.Get("X-Event-Status"), eventID: res.Header.Get("X-Event-Id")}
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
