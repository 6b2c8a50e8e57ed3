package app

import (
	"net"
	"os"
	"strconv"
	"time"

	"integration-gateway/modules/alerts"
	"integration-gateway/modules/delivery"
	"integration-gateway/modules/ingestion"
	"integration-gateway/modules/integrations"
	"integration-gateway/modules/replay"
	"integration-gateway/modules/replay/oneoff"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// The modules have configurations of their own. These functions make them from the settings.

func deliveryConfig(cfg config.Config, tool bool) delivery.Config {
	var relayGrace time.Duration
	if tool {
		relayGrace = time.Nanosecond // running processes publish what it queues immediately
	}
	return delivery.Config{
		RelayGrace:  relayGrace,
		Queues:      queueNames(cfg),
		MaxAttempts: cfg.Delivery.MaxAttempts,
		RetryBase:   cfg.Delivery.RetryBase,
		RetryCap:    cfg.Delivery.RetryCap,
		Timeout:     cfg.Delivery.Timeout,
		LockTTL:     cfg.Delivery.LockTTL,
		Concurrency: cfg.Delivery.Concurrency,
		// One destination takes at most a quarter of a worker.
		PerDestination: max(1, cfg.Delivery.Concurrency/4),
		LeaseMargin:    cfg.Delivery.LeaseMargin,
		BreakerVolume:  cfg.Delivery.BreakerVolume,
		BreakerRate:    float64(cfg.Delivery.BreakerPercent) / 100,
		BreakerProbe:   cfg.Delivery.BreakerProbe,
		Grace:          drainTime(cfg),
	}
}

// sendMargin is how long a replay to a URL may take beside its request: for reading the event and
// storing the outcome.
const sendMargin = 30 * time.Second

func replayConfig(cfg config.Config) replay.Config {
	return replay.Config{OneOff: oneoff.Config{Claim: cfg.Delivery.Timeout + sendMargin, Grace: drainTime(cfg)}}
}

func alertsConfig(cfg config.Config) alerts.Config {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	made := alerts.Config{Host: host, Thresholds: alerts.Thresholds{
		alerts.JobsOverdue: cfg.Alerts.JobAge.Seconds(), alerts.OutboxBehind: time.Minute.Seconds(), alerts.SpoolWaiting: (5 * time.Minute).Seconds(), alerts.SpoolParked: 1, alerts.SealsBehind: (10 * time.Minute).Seconds(),
		alerts.PartitionsEnd: (7 * 24 * time.Hour).Seconds(), alerts.CertificateExpires: cfg.Alerts.Certificate.Seconds(),
		alerts.DeadLetters: float64(cfg.Alerts.DeadLetters), alerts.Quarantine: float64(cfg.Alerts.Quarantine),
		alerts.WebhooksRefused: float64(cfg.Alerts.RefusedPercent), alerts.DestinationFailing: float64(cfg.Alerts.FailedPercent),
		alerts.SourceSilent: float64(cfg.Alerts.SilentFactor),
	}}
	if !cfg.Alerts.WebhookURL.Empty() {
		made.Targets = append(made.Targets, alerts.Target{Name: "webhook", Kind: alerts.Webhook, URL: cfg.Alerts.WebhookURL, Secret: cfg.Alerts.WebhookSecret})
	}
	if !cfg.Alerts.SlackURL.Empty() {
		made.Targets = append(made.Targets, alerts.Target{Name: "slack", Kind: alerts.Slack, URL: cfg.Alerts.SlackURL})
	}
	if !cfg.Alerts.EmailURL.Empty() {
		made.Targets = append(made.Targets, alerts.Target{Name: "email", Kind: alerts.Email, URL: cfg.Alerts.EmailURL, From: cfg.Alerts.EmailFrom, To: cfg.Alerts.EmailTo})
	}
	return made
}

func integrationsConfig(cfg config.Config) integrations.Config {
	var known []secret.Value
	if cfg.Env == config.Production {
		for _, demo := range demoSources() {
			known = append(known, secret.New(demo.secret))
		}
	}
	return integrations.Config{
		MaxSourceBodyBytes: config.MaxSourceBodyBytes,
		QuarantineTime:     cfg.Webhook.QuarantineTime,
		RefusedSecrets:     known,
		PublicBaseURL:      cfg.HTTP.PublicBaseURL,
		NeedsPublicURL:     cfg.Env == config.Production,
	}
}

func ingestionConfig(cfg config.Config) ingestion.Config {
	return ingestion.Config{
		OwnSecrets:      append([]secret.Value{cfg.ManagementKey, cfg.SecretsKey}, cfg.SecretsReadKeys...),
		PossibleReplays: ingestion.PossibleReplays{Window: cfg.Webhook.ReplayWindow, Quarantine: cfg.Webhook.ReplayAction == config.ReplayQuarantine},
		Quarantine: ingestion.Quarantine{Retention: cfg.Webhook.QuarantineTime, PerSource: cfg.Webhook.QuarantineRequests,
			BytesPerSource: cfg.Webhook.QuarantineBytes, BytesPerMinute: cfg.Webhook.QuarantinePerMinute},
		MaxBodyBytes:          cfg.Webhook.MaxBodyBytes,
		RateLimitPerMinute:    cfg.Webhook.RatePerMinute,
		FailureLimitPerMinute: cfg.Webhook.FailurePerMinute,
		IdempotencyTTL:        cfg.Webhook.IdempotencyTTL,
		PublicBaseURL:         cfg.HTTP.PublicBaseURL,
		ClientCertHeader:      cfg.HTTP.ClientCertHeader,
		TrustedProxies:        cfg.HTTP.TrustedProxies,
	}
}

func httpConfig(cfg config.Config) httpapi.Config {
	return httpapi.Config{
		Addr:              net.JoinHostPort(cfg.HTTP.Host, strconv.Itoa(cfg.HTTP.Port)),
		ManagementKey:     cfg.ManagementKey,
		TrustedProxies:    cfg.HTTP.TrustedProxies,
		ReadTimeout:       cfg.HTTP.ReadTimeout,
		WriteTimeout:      cfg.HTTP.WriteTimeout,
		IdleTimeout:       cfg.HTTP.IdleTimeout,
		BodyBytesInFlight: cfg.Webhook.MaxInflightBytes,
		RequestsInFlight:  cfg.Webhook.MaxInflight,
		FailuresPerMinute: cfg.ManagementFailures,
		MaxConnections:    cfg.HTTP.MaxConnections,
		NetworkShare:      cfg.HTTP.NetworkShare,
		MinBodyRate:       cfg.HTTP.MinBodyRate,
		Hosts:             cfg.Hosts,
	}
}

// drainTime is the part of the grace period in which running work may finish; the rest is
// for recording the results.
func drainTime(cfg config.Config) time.Duration { return cfg.ShutdownGrace * 4 / 5 }
