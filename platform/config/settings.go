package config

import (
	"slices"
	"strconv"
	"time"
)

// setting is one variable: NAME in the environment, name in the YAML file.
type setting struct {
	name     string
	fallback string
	read     func(text string) error // its error is a problem
	// blank says that an empty value means something ("off"), rather than "as
	// if it were not set".
	blank bool
}

// The defaults below that fit moves.
const (
	defaultTimeout  = 15 * time.Second
	defaultRetryCap = 30 * time.Minute
	// A quarter of a year, so that "what happened to event X" is answered months later
	// while the disk that events take has an end.
	defaultEvents = 90 * day

	secretsKeyLength = 32 // characters at least
)

// settings is every variable there is, its default, and where it goes in c.
// configs/gateway.yaml lists the same in the same order; a test compares them.
func settings(c *Config) []setting {
	return slices.Concat(processSettings(c), doorSettings(c), storeSettings(c), flowSettings(c))
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func processSettings(c *Config) []setting {
	return []setting{
		{name: "APP_ENV", fallback: string(Development), read: environment(&c.Env)},
		// Its default depends on the role: see complete.
		{name: "APP_HOST", read: plain(&c.HTTP.Host)},
		{name: "APP_PORT", fallback: "3000", read: integer(&c.HTTP.Port, 0, 65535)},
		{name: "PUBLIC_BASE_URL", blank: true, read: baseURL(&c.HTTP.PublicBaseURL)},
		{name: "TRUSTED_PROXIES", blank: true, read: networks(&c.HTTP.TrustedProxies)},
		{name: "HTTP_READ_TIMEOUT_MS", fallback: "60000", read: duration(&c.HTTP.ReadTimeout, time.Millisecond, 100, 600_000)},
		{name: "HTTP_WRITE_TIMEOUT_MS", fallback: "60000", read: duration(&c.HTTP.WriteTimeout, time.Millisecond, 100, 600_000)},
		{name: "HTTP_IDLE_TIMEOUT_MS", fallback: "120000", read: duration(&c.HTTP.IdleTimeout, time.Millisecond, 1000, 3_600_000)},
		{name: "WORK_HTTP_ADDR", fallback: "127.0.0.1:3001", blank: true, read: address(&c.WorkAddr)},
		{name: "MANAGEMENT_ADDR", blank: true, read: address(&c.ManagementAddr)},
		{name: "SHUTDOWN_GRACE_SECONDS", fallback: "25", read: duration(&c.ShutdownGrace, time.Second, 1, 600)},
		{name: "LOG_LEVEL", fallback: "info", read: level(&c.Log.Level)},
		{name: "LOG_FORMAT", fallback: "auto", read: oneOf(&c.Log.Format, "auto", "json", "text")},
		{name: "MANAGEMENT_API_KEY", read: key(&c.ManagementKey, 16)},
		{name: "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", fallback: "60", read: integer(&c.ManagementFailures, 0, 100_000_000)},
		{name: "SECRETS_KEY", read: key(&c.SecretsKey, secretsKeyLength)},
		{name: "SECRETS_KEY_FILE", read: keysFile(&c.SecretsKey, &c.SecretsReadKeys)},
		{name: "SECRETS_READ_KEYS", blank: true, read: keys(&c.SecretsReadKeys)},
	}
}

func storeSettings(c *Config) []setting {
	return []setting{
		{name: "DATABASE_URL", read: serverURL(&c.Database.URL, "postgres", "postgresql", "sqlite")},
		{name: "DATABASE_MAX_CONNECTIONS", fallback: "20", read: integer(&c.Database.MaxConnections, 2, 1000)},
		{name: "REDIS_URL", blank: true, read: serverURL(&c.RedisURL, "redis", "rediss", "unix")},
		{name: "RABBITMQ_URL", blank: true, read: serverURL(&c.RabbitMQ.URL, "amqp", "amqps")},
		{name: "RABBITMQ_PROCESS_QUEUE", fallback: "ig.events.process", read: queueName(&c.RabbitMQ.Process)},
		{name: "RABBITMQ_RETRY_QUEUE", fallback: "ig.events.retry", read: queueName(&c.RabbitMQ.Retry)},
		{name: "RABBITMQ_REPLAY_QUEUE", fallback: "ig.events.replay", read: queueName(&c.RabbitMQ.Replay)},
		{name: "RABBITMQ_DEAD_QUEUE", fallback: "ig.events.dead", read: queueName(&c.RabbitMQ.Dead)},
		{name: "RABBITMQ_QUEUE_TYPE", fallback: "classic", read: oneOf(&c.RabbitMQ.QueueType, "classic", "quorum")},
		{name: "RETENTION_EVENTS", fallback: "90d", blank: true, read: age(&c.Retention.Events)},
		// The trail outlives what it tells of: a year and a month, for whoever compares years.
		{name: "RETENTION_AUDIT", fallback: "400d", blank: true, read: age(&c.Retention.Audit)},
	}
}

func flowSettings(c *Config) []setting {
	return []setting{
		{name: "WEBHOOK_RATE_LIMIT_PER_MINUTE", fallback: "6000", read: integer(&c.Webhook.RatePerMinute, 0, 100_000_000)},
		{name: "WEBHOOK_FAILURE_LIMIT_PER_MINUTE", fallback: "120", read: integer(&c.Webhook.FailurePerMinute, 0, 100_000_000)},
		{name: "WEBHOOK_MAX_BODY_BYTES", fallback: "5242880", read: integer(&c.Webhook.MaxBodyBytes, 1, MaxSourceBodyBytes)},
		{name: "MAX_INFLIGHT_REQUESTS", fallback: "2048", read: integer(&c.Webhook.MaxInflight, 1, 1<<20)},
		{name: "MAX_INFLIGHT_BODY_BYTES", fallback: "134217728", read: integer(&c.Webhook.MaxInflightBytes, MaxSourceBodyBytes, 64<<30)},
		{name: "IDEMPOTENCY_TTL_SECONDS", fallback: "86400", read: duration(&c.Webhook.IdempotencyTTL, time.Second, 1, 31_536_000)},
		{name: "QUARANTINE_RETENTION_HOURS", fallback: "168", read: duration(&c.Webhook.QuarantineTime, time.Hour, 0, 8760)},
		{name: "QUARANTINE_REQUESTS_PER_SOURCE", fallback: "1000", read: integer(&c.Webhook.QuarantineRequests, 1, 1_000_000)},
		{name: "QUARANTINE_BYTES_PER_SOURCE", fallback: "33554432", read: integer(&c.Webhook.QuarantineBytes, 1, 64<<30)},
		{name: "PROCESSING_LOCK_TTL_SECONDS", fallback: "60", read: duration(&c.Delivery.LockTTL, time.Second, 1, 86_400)},
		// With the delays below, 15 attempts last 3 h 12 min (5 s, 10 s, 20 s … 21 min,
		// then five times 30 min): an hour's outage of a destination loses nothing.
		{name: "MAX_PROCESSING_RETRIES", fallback: "15", read: integer(&c.Delivery.MaxAttempts, 1, 1000)},
		{name: "RETRY_BASE_DELAY_MS", fallback: "5000", read: duration(&c.Delivery.RetryBase, time.Millisecond, 1, 86_400_000)},
		{name: "RETRY_MAX_DELAY_MS", fallback: milliseconds(defaultRetryCap), read: duration(&c.Delivery.RetryCap, time.Millisecond, 1, 604_800_000)},
		{name: "DELIVERY_TIMEOUT_MS", fallback: milliseconds(defaultTimeout), read: duration(&c.Delivery.Timeout, time.Millisecond, 1, 600_000)},
		{name: "DELIVERY_CONCURRENCY", fallback: "256", read: integer(&c.Delivery.Concurrency, 1, 10_000)},
		{name: "DELIVERY_LEASE_MARGIN_MS", fallback: "30000", read: duration(&c.Delivery.LeaseMargin, time.Millisecond, 1000, 600_000)},
		{name: "BREAKER_MIN_ATTEMPTS", fallback: "20", read: integer(&c.Delivery.BreakerVolume, 1, 1_000_000)},
		{name: "BREAKER_FAILURE_PERCENT", fallback: "80", read: integer(&c.Delivery.BreakerPercent, 1, 100)},
		{name: "BREAKER_PROBE_DELAY_MS", fallback: "5000", read: duration(&c.Delivery.BreakerProbe, time.Millisecond, 10, 3_600_000)},
		// Its default depends on APP_ENV: see complete.
		{name: "EGRESS_ALLOW", blank: true, read: destinations(&c.EgressAllow)},
		{name: "EGRESS_DENY", blank: true, read: refusedDestinations(&c.EgressDeny)},
		{name: "EGRESS_PROXY", blank: true, read: proxyURL(&c.EgressProxy)},
	}
}
