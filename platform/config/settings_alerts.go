package config

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"integration-gateway/platform/secret"
)

// Alerts is where alerts go, and when a condition holds.
type Alerts struct {
	WebhookURL, WebhookSecret, SlackURL secret.Value // empty: none

	EmailURL  secret.Value // of the SMTP server; empty: no mail is sent
	EmailFrom string       // addresses without names
	EmailTo   []string

	JobAge         time.Duration
	DeadLetters    int64
	Quarantine     int64
	RefusedPercent int
	FailedPercent  int
	SilentFactor   int
	Certificate    time.Duration // before its end
}

func alertSettings(c *Config) section {
	return section{title: "Alerts", help: "The gateway watches itself and tells of what needs a hand. See [Alerts](operations.md#alerts). `PUT /api/v1/alerts/conditions/:condition` changes a threshold without a restart.", settings: []setting{
		{name: "ALERT_WEBHOOK_URL", blank: true, read: serverURL(&c.Alerts.WebhookURL, "http", "https"), by: running,
			unset: "alerts are shown by the API and the log alone",
			help:  "Where alerts are posted as messages of Standard Webhooks. `EGRESS_ALLOW` and `EGRESS_DENY` hold for it, as for destinations."},
		{name: "ALERT_WEBHOOK_SECRET", read: key(&c.Alerts.WebhookSecret, 16), by: running,
			unset: "they are not signed",
			help:  "Signs these messages: `whsec_` and base64, or another text."},
		{name: "ALERT_SLACK_URL", blank: true, read: serverURL(&c.Alerts.SlackURL, "http", "https"), by: running,
			unset: "nothing is posted there",
			help:  "An incoming webhook of Slack, Mattermost or another service that takes `{\"text\": …}`."},
		{name: "ALERT_EMAIL_URL", blank: true, read: mailServer(&c.Alerts.EmailURL), by: running,
			unset: "no mail is sent",
			help: "The SMTP server for alerts, such as `smtp://user:password@mail.example.com:587`, which must offer STARTTLS, or `smtps://…:465`, which speaks TLS from the beginning. " +
				"Without TLS: `smtp://127.0.0.1:25?tls=none`. `EGRESS_ALLOW` and `EGRESS_PROXY` do not apply to it."},
		{name: "ALERT_EMAIL_FROM", blank: true, read: mailAddress(&c.Alerts.EmailFrom), by: running,
			unset: "no mail is sent",
			help:  "The sender of these mails."},
		{name: "ALERT_EMAIL_TO", blank: true, read: mailAddresses(&c.Alerts.EmailTo), by: running,
			unset: "no mail is sent",
			help:  "Their recipients."},
		{name: "ALERT_JOB_AGE_SECONDS", fallback: "300", read: duration(&c.Alerts.JobAge, time.Second, 1, 86_400), by: running,
			help: "How long the oldest due job may wait."},
		{name: "ALERT_DEAD_LETTERS", fallback: "1", read: integer(&c.Alerts.DeadLetters, 1, 100_000), by: running,
			help: "The number of open dead letters of a kind that is an alert."},
		{name: "ALERT_QUARANTINE", fallback: "100", read: integer(&c.Alerts.Quarantine, 1, 100_000), by: running,
			help: "The number of a source's requests in quarantine that is an alert."},
		{name: "ALERT_REFUSED_PERCENT", fallback: "20", read: integer(&c.Alerts.RefusedPercent, 1, 100), by: running,
			help: "The share of a source's webhooks within ten minutes that may be refused for one reason. It counts from 20 webhooks on."},
		{name: "ALERT_FAILED_PERCENT", fallback: "50", read: integer(&c.Alerts.FailedPercent, 1, 100), by: running,
			help: "The share of the attempts at a destination within ten minutes that may fail. It counts from 20 attempts on."},
		{name: "ALERT_CERTIFICATE_DAYS", fallback: "14", read: duration(&c.Alerts.Certificate, day, 1, 365), by: running,
			help: "How many days before its end the certificate of a listener, or the client certificate of a destination, must be renewed."},
		{name: "ALERT_SILENT_FACTOR", fallback: "3", read: integer(&c.Alerts.SilentFactor, 2, 1000), by: running,
			help: "How many times its usual gap a source may be silent. The usual gap is that of the same hour of the week in the last four weeks."},
	}}
}

// mailServer takes the URL of an SMTP server.
func mailServer(into *secret.Value) reader {
	of := serverURL(into, "smtp", "smtps")
	return reader{of.takes, func(text string) error {
		if err := of.set(text); err != nil || text == "" {
			return err
		}
		u, err := url.Parse(text)
		password := false
		if err == nil && u.User != nil {
			_, password = u.User.Password()
		}
		plain := err == nil && u.RawQuery == "tls=none"
		switch {
		case err != nil || strings.Trim(u.Path, "/") != "" || u.Fragment != "" || u.RawQuery != "" && !plain:
			err = wrong("it holds more than a server's address", "write smtp://user:password@host:587 or smtps://user:password@host:465, with nothing behind it but ?tls=none")
		case u.User != nil && (!password || u.User.Username() == ""):
			err = wrong("it names a user without a password, or the other way round", "write both, or none if the server asks for none")
		case plain && scheme(text) == "smtps":
			err = wrong("smtps is TLS, and tls=none turns it off", "leave out one of the two")
		case plain && password && !loopbackHost(u.Hostname()):
			err = wrong("tls=none would send the password unencrypted", "leave it out, so that STARTTLS is used, or write smtps://")
		}
		if err != nil {
			*into = secret.Value{}
		}
		return err
	}}
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// mostRecipients bounds the recipients of a mail.
const mostRecipients = 20

func mailAddresses(into *[]string) reader {
	return reader{"list of mail addresses", func(text string) error {
		addresses := list(text)
		if len(addresses) > mostRecipients {
			return wrong(fmt.Sprintf("it names %d", len(addresses)), "name at most %d, or one that distributes them", mostRecipients)
		}
		for _, address := range addresses {
			if err := mailAddress(new(string)).set(address); err != nil {
				return err
			}
		}
		*into = addresses
		return nil
	}}
}

func mailAddress(into *string) reader {
	return reader{"mail address", func(text string) error {
		if a, err := mail.ParseAddress(text); text != "" && (err != nil || a.Address != text || a.Name != "") {
			return wrong(fmt.Sprintf("%q is not a mail address", text), "write an address such as oncall@example.com, without a name")
		}
		*into = text
		return nil
	}}
}

// checkAlerts finds what a mail lacks.
func checkAlerts(c Config, m *Mistakes) {
	given := map[string]bool{"ALERT_EMAIL_URL": !c.Alerts.EmailURL.Empty(), "ALERT_EMAIL_FROM": c.Alerts.EmailFrom != "", "ALERT_EMAIL_TO": len(c.Alerts.EmailTo) > 0}
	var known, missing []string
	for _, name := range []string{"ALERT_EMAIL_URL", "ALERT_EMAIL_FROM", "ALERT_EMAIL_TO"} {
		switch {
		case m.has(name):
			return
		case given[name]:
			known = append(known, name)
		default:
			missing = append(missing, name)
		}
	}
	if len(known) == 0 {
		return
	}
	for _, name := range missing {
		m.add(name, NotSet, "a mail needs it as well as %s", strings.Join(known, " and "))
	}
}
