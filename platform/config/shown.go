package config

import (
	"net/url"
	"slices"
	"strings"

	"integration-gateway/platform/secret"
)

const redacted = secret.Redacted

// withSecrets are the settings whose values hold a secret, and are no part of the
// fingerprint, each with what may be shown of it.
var withSecrets = map[string]func(text string) string{
	"DATABASE_URL": ShownURL, "REDIS_URL": ShownURL, "RABBITMQ_URL": ShownURL, "EGRESS_PROXY": ShownURL,
	"ALERT_WEBHOOK_URL": shownHost, "ALERT_SLACK_URL": shownHost, "ALERT_EMAIL_URL": ShownURL, "ALERT_WEBHOOK_SECRET": nothing,
	"MANAGEMENT_API_KEY": nothing, "SECRETS_KEY": nothing, "SECRETS_READ_KEYS": nothing,
	"OTEL_EXPORTER_OTLP_ENDPOINT": ShownURL, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ShownURL,
	"OTEL_EXPORTER_OTLP_HEADERS": nothing, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": nothing,
	"SECRETS_KEY_FILE": func(path string) string { return path }, // it could be read, so it is one
}

func nothing(string) string { return redacted }

// shownParameters are the parameters of URLs that hold no credential.
var shownParameters = []string{"application_name", "auth_mechanism", "channel_max", "connect_timeout", "db", "dbname", "dial_timeout", "heartbeat", "host", "port",
	"protocol", "read_timeout", "server_name_indication", "sslmode", "target_session_attrs", "tls", "user", "write_timeout"}

// ShownURL is the address of a server without the credentials in it. A name without a
// password counts as one: it may be a token. It takes lists of hosts, and all that the
// drivers take.
func ShownURL(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return redacted
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		switch {
		case password == "" && user != "":
			user = redacted
		case password != "":
			user += ":" + redacted
		}
		authority = user + "@" + authority[at+1:]
	}
	shown := scheme + "://" + authority
	if hasPath {
		if strings.Contains(path, "@") { // a password with a slash in it
			path = redacted
		}
		shown += "/" + path
	}
	var parameters []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, valued := strings.Cut(part, "=")
		if valued && !slices.Contains(shownParameters, name) {
			part = name + "=" + redacted
		}
		if part != "" {
			parameters = append(parameters, part)
		}
	}
	if len(parameters) > 0 {
		shown += "?" + strings.Join(parameters, "&")
	}
	if fragment != "" {
		shown += "#" + redacted
	}
	return shown
}

// shownHost is the scheme and host of a URL whose path is the credential, as Slack's are.
func shownHost(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return redacted
	}
	return u.Scheme + "://" + u.Host + "/" + redacted
}
