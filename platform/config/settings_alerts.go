package config

import (
	"time"

	"integration-gateway/platform/secret"
)

// Alerts is where alerts go, and when a condition holds.
type Alerts struct {
	WebhookURL, WebhookSecret, SlackURL secret.Value // empty: none

	JobAge         time.Duration
	DeadLetters    int64
	Quarantine     int64
	RefusedPercent int
	SilentFactor   int
}

func alertSettings(c *Config) section {
	return section{title: "Alerts", help: "The gateway watches itself and tells of what needs a hand. See [Alerts](operations.md#alerts).", settings: []setting{
		{name: "ALERT_WEBHOOK_URL", blank: true, read: serverURL(&c.Alerts.WebhookURL, "http", "https"), by: running,
			unset: "alerts are shown by the API and the log alone",
			help:  "Where alerts are posted as messages of Standard Webhooks. `EGRESS_ALLOW` and `EGRESS_DENY` hold for it, as for destinations."},
		{name: "ALERT_WEBHOOK_SECRET", read: key(&c.Alerts.WebhookSecret, 16), by: running,
			unset: "they are not signed",
			help:  "Signs these messages: `whsec_` and base64, or another text."},
		{name: "ALERT_SLACK_URL", blank: true, read: serverURL(&c.Alerts.SlackURL, "http", "https"), by: running,
			unset: "nothing is posted there",
			help:  "An incoming webhook of Slack, Mattermost or another service that takes `{\"text\": …}`."},
		{name: "ALERT_JOB_AGE_SECONDS", fallback: "300", read: duration(&c.Alerts.JobAge, time.Second, 1, 86_400), by: running,
			help: "How long the oldest due job may wait."},
		{name: "ALERT_DEAD_LETTERS", fallback: "1", read: integer(&c.Alerts.DeadLetters, 1, 100_000), by: running,
			help: "The number of open dead letters of a kind that is an alert."},
		{name: "ALERT_QUARANTINE", fallback: "100", read: integer(&c.Alerts.Quarantine, 1, 100_000), by: running,
			help: "The number of a source's requests in quarantine that is an alert."},
		{name: "ALERT_REFUSED_PERCENT", fallback: "20", read: integer(&c.Alerts.RefusedPercent, 1, 100), by: running,
			help: "The share of a source's webhooks within ten minutes that may be refused for one reason. It counts from 20 webhooks on."},
		{name: "ALERT_SILENT_FACTOR", fallback: "3", read: integer(&c.Alerts.SilentFactor, 2, 1000), by: running,
			help: "How many times its usual gap a source may be silent. The usual gap is that of the same hour of the week in the last four weeks."},
	}}
}
