package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMailsOfAlerts(t *testing.T) {
	for _, c := range []struct {
		sentence, url, from, to string
		wrong                   []string
	}{
		{"nothing", "", "", "", nil},
		{"STARTTLS with a password", "smtp://user:p%40ss@mail.example.com:587", "gateway@example.com", "a@example.com, b@example.com", nil},
		{"TLS from the beginning", "smtps://user:pass@mail.example.com", "gateway@example.com", "a@example.com", nil},
		{"a relay on the same machine", "smtp://localhost:25?tls=none", "gateway@example.com", "a@example.com", nil},
		{"a password to it", "smtp://u:p@127.0.0.1:25?tls=none", "gateway@example.com", "a@example.com", nil},
		{"a password that everybody could read", "smtp://u:p@mail.example.com?tls=none", "gateway@example.com", "a@example.com",
			[]string{"ALERT_EMAIL_URL: tls=none would send the password unencrypted"}},
		{"no user", "smtp://:p@mail.example.com", "gateway@example.com", "a@example.com", []string{"ALERT_EMAIL_URL: it names a user without a password"}},
		{"an unknown option", "smtp://mail.example.com?tls=maybe", "gateway@example.com", "a@example.com", []string{"ALERT_EMAIL_URL: it holds more than a server's address"}},
		{"both", "smtps://mail.example.com?tls=none", "gateway@example.com", "a@example.com", []string{"ALERT_EMAIL_URL: smtps is TLS"}},
		{"another scheme", "http://mail.example.com", "gateway@example.com", "a@example.com", []string{"ALERT_EMAIL_URL: its scheme is none of those"}},
		{"no server", "", "gateway@example.com", "a@example.com", []string{"ALERT_EMAIL_URL: it is not set"}},
		{"a server alone", "smtp://mail.example.com", "", "", []string{"ALERT_EMAIL_FROM: it is not set", "ALERT_EMAIL_TO: it is not set"}},
		{"a name", "smtp://mail.example.com", "Gateway <gateway@example.com>", "a@example.com", []string{"ALERT_EMAIL_FROM: \"Gateway <gateway@example.com>\" is not a mail address"}},
		{"all at once", "smtp://", "gateway", "a@example.com b", []string{"ALERT_EMAIL_URL: ", "ALERT_EMAIL_FROM: ", "ALERT_EMAIL_TO: \"b\" is not a mail address"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, map[string]string{"ALERT_EMAIL_URL": c.url, "ALERT_EMAIL_FROM": c.from, "ALERT_EMAIL_TO": c.to})
			cfg, err := Load(Options{Role: Serve})
			if len(c.wrong) == 0 {
				require.NoError(t, err)
				require.Equal(t, c.url, cfg.Alerts.EmailURL.Reveal())
				return
			}
			for _, text := range c.wrong {
				require.ErrorContains(t, err, text)
			}
			require.NotContains(t, err.Error(), "u:p@")
		})
	}
}
