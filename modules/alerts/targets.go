package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"integration-gateway/platform/secret"
	"integration-gateway/platform/standardwebhooks"
)

// Target is where notices go.
type Target struct {
	Name string // for people; a notice keeps it until it is sent
	Kind Kind
	URL  secret.Value // of a webhook, of Slack or of a mail server: it may hold a credential
	// Secret signs a webhook's notices; empty: they are not signed.
	Secret secret.Value
	// From and To are the addresses of mails.
	From string
	To   []string
}

// Kind is how a target takes notices.
type Kind string

// The kinds of targets.
const (
	Webhook Kind = "webhook" // a signed message of Standard Webhooks
	Slack   Kind = "slack"   // {"text": …}, as Slack, Mattermost, Rocket.Chat and others take it
	Email   Kind = "email"   // a mail by SMTP
)

// sendTo makes one attempt. Its error holds neither the address nor what the target answered.
func (m *Module) sendTo(ctx context.Context, t Target, n notice) error {
	var said message
	if err := json.Unmarshal([]byte(n.Body), &said); err != nil {
		return fmt.Errorf("read the notice: %w", err)
	}
	if t.Kind == Email {
		return m.sendMail(ctx, t, n, said)
	}
	return m.post(ctx, t, n, said)
}

// post sends a notice to a webhook or to Slack.
func (m *Module) post(ctx context.Context, t Target, n notice, said message) error {
	body, header := []byte(n.Body), http.Header{"Content-Type": {"application/json"}}
	if t.Kind == Slack {
		body, _ = json.Marshal(struct {
			Text string `json:"text"`
		}{said.title() + "\n" + said.text()}) // texts always marshal
	} else {
		at := m.d.Now()
		header["Webhook-Id"] = []string{n.ID}
		header["Webhook-Timestamp"] = []string{strconv.FormatInt(at.Unix(), 10)}
		if !t.Secret.Empty() {
			header["Webhook-Signature"] = []string{standardwebhooks.Sign([]secret.Value{t.Secret}, n.ID, at, body)}
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return errors.New("the target's address is not well-formed")
	}
	req.Header = header
	res, err := m.d.Sender.Do(req, nil)
	if err != nil {
		return fmt.Errorf("send to %s: %w", t.Name, err)
	}
	if res.Status < 200 || res.Status > 299 {
		return fmt.Errorf("%s answered HTTP %d", t.Name, res.Status)
	}
	return nil
}

// title is the first line of a notice.
func (m message) title() string {
	switch m.Type {
	case "alert.resolved":
		return "Resolved: " + m.Data.Summary
	case "alert.test":
		return "Test: " + m.Data.Summary
	}
	return "[" + m.Data.Severity + "] " + m.Data.Summary
}

// text is the rest of it.
func (m message) text() string {
	since := m.Data.StartedAt.UTC().Format(time.RFC3339)
	if m.Data.ResolvedAt != nil {
		return "From " + since + " to " + m.Data.ResolvedAt.UTC().Format(time.RFC3339) + "."
	}
	return "Since " + since + ". What to do: docs/runbook.md, " + m.Data.Condition + "."
}
