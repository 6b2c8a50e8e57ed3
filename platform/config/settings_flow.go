package config

import "time"

func webhookSettings(c *Config) section {
	return section{title: "Webhooks", help: "Limits on senders. An integration may have its own rate limit and body limit.", settings: []setting{
		{name: "WEBHOOK_RATE_LIMIT_PER_MINUTE", fallback: "6000", read: integer(&c.Webhook.RatePerMinute, 0, 100_000_000), by: listeners,
			help: "Verified webhooks of one source that one client address may send in a minute. `0` sets no limit."},
		{name: "WEBHOOK_FAILURE_LIMIT_PER_MINUTE", fallback: "120", read: integer(&c.Webhook.FailurePerMinute, 0, 100_000_000), by: listeners,
			help: "Refused webhooks that one client address may send in a minute. `0` sets no limit. Valid webhooks of the same address are not affected."},
		{name: "WEBHOOK_MAX_BODY_BYTES", fallback: "5242880", read: integer(&c.Webhook.MaxBodyBytes, 1, MaxSourceBodyBytes), by: listeners,
			help: "The largest body of a webhook. The default is 5 MiB; an integration may set up to 32 MiB."},
		{name: "MAX_INFLIGHT_REQUESTS", fallback: "2048", read: integer(&c.Webhook.MaxInflight, 1, 1<<20), by: listeners,
			help: "Requests that are processed at once. Beyond it, senders get 503 with `Retry-After`. A request whose body is still arriving does not count."},
		{name: "MAX_INFLIGHT_BODY_BYTES", fallback: "134217728", read: integer(&c.Webhook.MaxInflightBytes, MaxSourceBodyBytes, 64<<30), by: listeners,
			help: "The bytes of all bodies in memory at once. Beyond it, senders get 503 with `Retry-After`. The default is 128 MiB."},
	}}
}

func repeatSettings(c *Config) section {
	return section{title: "Repeats and possible replays", help: "See [Replays under another id](security.md#replays-under-another-id).", settings: []setting{
		{name: "IDEMPOTENCY_TTL_SECONDS", fallback: "86400", read: duration(&c.Webhook.IdempotencyTTL, time.Second, 1, 31_536_000), by: listeners,
			help: "How long repeats are answered from Redis. The database recognizes them as long as it keeps the event."},
		{name: "POSSIBLE_REPLAY_WINDOW_SECONDS", fallback: "86400", read: duration(&c.Webhook.ReplayWindow, time.Second, 0, 31_536_000), by: listeners,
			help: "How long signatures are remembered for providers that do not sign the event's id. `0` turns this off."},
		{name: "POSSIBLE_REPLAY_ACTION", fallback: ReplayMark, read: oneOf(&c.Webhook.ReplayAction, ReplayMark, ReplayQuarantine), by: listeners,
			help: "What to do with a webhook whose signed message was received before under another id: `mark` accepts and marks it, `quarantine` refuses it and keeps it."},
	}}
}

func quarantineSettings(c *Config) section {
	return section{title: "Quarantine", help: "Refused webhooks of known sources are kept so that they can be inspected and released. See [Quarantine](security.md#quarantine).", settings: []setting{
		{name: "QUARANTINE_RETENTION_HOURS", fallback: "168", read: duration(&c.Webhook.QuarantineTime, time.Hour, 0, 8760), by: running,
			help: "How long refused webhooks are kept. `0` keeps none."},
		{name: "QUARANTINE_REQUESTS_PER_SOURCE", fallback: "50000", read: integer(&c.Webhook.QuarantineRequests, 1, 1_000_000), by: running,
			help: "The refused webhooks kept of one source. Beyond it, the oldest of the client network with the most are deleted."},
		{name: "QUARANTINE_BYTES_PER_SOURCE", fallback: "268435456", read: integer(&c.Webhook.QuarantineBytes, 1, 64<<30), by: running,
			help: "The bytes kept of one source, as they are stored (bodies are compressed with gzip). The default is 256 MiB. Beyond it, the oldest of the client network with the most are deleted."},
		{name: "QUARANTINE_BYTES_PER_MINUTE", fallback: "4194304", read: integer(&c.Webhook.QuarantinePerMinute, 1, 64<<30), by: listeners,
			help: "The bytes stored of one source within a minute. The default is 4 MiB. One request may have half, and one client network a quarter once half is used. Further requests are only counted."},
	}}
}

func retrySettings(c *Config) section {
	return section{title: "Delivery and retries", help: "A destination may have its own timeout, attempts and delays. See [Retries](webhook-flow.md#retries).", settings: []setting{
		{name: "PROCESSING_LOCK_TTL_SECONDS", fallback: "60", read: duration(&c.Delivery.LockTTL, time.Second, 1, 86_400), by: workers,
			help: "How long the lock on an event's delivery lasts when its owner dies. It must be longer than `DELIVERY_TIMEOUT_MS`."},
		// With the delays below, 15 attempts last 3 h 12 min (5 s, 10 s, 20 s … 21 min,
		// then five times 30 min): an hour's outage of a destination loses nothing.
		{name: "MAX_PROCESSING_RETRIES", fallback: "15", read: integer(&c.Delivery.MaxAttempts, 1, 1000), by: workers,
			help: "The attempts at a delivery in all, the first included. The default of 15 attempts spans 3 h 12 min, so that a destination that is down for an hour loses nothing."},
		{name: "RETRY_BASE_DELAY_MS", fallback: "5000", read: duration(&c.Delivery.RetryBase, time.Millisecond, 1, 86_400_000), by: workers,
			help: "The delay before the second attempt. It doubles with every further attempt."},
		{name: "RETRY_MAX_DELAY_MS", fallback: milliseconds(defaultRetryCap), read: duration(&c.Delivery.RetryCap, time.Millisecond, 1, 604_800_000), by: workers,
			help: "The longest delay between two attempts. The default is 30 minutes, or `RETRY_BASE_DELAY_MS` if that is longer."},
		{name: "DELIVERY_TIMEOUT_MS", fallback: milliseconds(defaultTimeout), read: duration(&c.Delivery.Timeout, time.Millisecond, 1, 600_000), by: workers,
			help: "The time one attempt may take, from connecting to the end of the answer. If it is not set and `PROCESSING_LOCK_TTL_SECONDS` is 15 or less, it is three quarters of the lock's time."},
	}}
}

func workerSettings(c *Config) section {
	return section{title: "Workers and circuit breakers", help: "See [The worker](architecture.md#the-worker).", settings: []setting{
		{name: "DELIVERY_CONCURRENCY", fallback: "256", read: integer(&c.Delivery.Concurrency, 1, 10_000), by: workers,
			help: "The attempts that one process runs at once. One destination gets a quarter of them at most."},
		{name: "DELIVERY_LEASE_MARGIN_MS", fallback: "30000", read: duration(&c.Delivery.LeaseMargin, time.Millisecond, 1000, 600_000), by: workers,
			help: "How long a claimed delivery may wait for its slot and for its outcome to be recorded, in addition to the attempt itself. The deliveries of a dead worker are claimed again after this time and the timeout at the latest."},
		{name: "BREAKER_MIN_ATTEMPTS", fallback: "20", read: integer(&c.Delivery.BreakerVolume, 1, 1_000_000), by: workers,
			help: "The attempts at a destination within a minute before its circuit breaker may open."},
		{name: "BREAKER_FAILURE_PERCENT", fallback: "80", read: integer(&c.Delivery.BreakerPercent, 1, 100), by: workers,
			help: "The share of those attempts that must have failed for the breaker to open."},
		{name: "BREAKER_PROBE_DELAY_MS", fallback: "5000", read: duration(&c.Delivery.BreakerProbe, time.Millisecond, 10, 3_600_000), by: workers,
			help: "How long an open breaker waits before its first probe. The wait doubles with each probe, up to a minute."},
	}}
}

func egressSettings(c *Config) section {
	return section{title: "Egress", help: "Where deliveries may go. See [Where deliveries may go](security.md#where-deliveries-may-go).", settings: []setting{
		// Its default depends on APP_ENV: see complete.
		{name: "EGRESS_ALLOW", blank: true, read: destinations(&c.EgressAllow), by: stores, reloads: true,
			unset: "loopback in development and test, nothing in production",
			help:  "Non-public networks, addresses and hosts that destinations may use, separated by commas. Setting it replaces the default."},
		{name: "EGRESS_DENY", blank: true, read: refusedDestinations(&c.EgressDeny), by: stores, reloads: true,
			unset: "nothing further is denied",
			help:  "Networks, addresses and hosts, with all names below them, that destinations may not use, whatever `EGRESS_ALLOW` says."},
		{name: "EGRESS_PROXY", blank: true, read: proxyURL(&c.EgressProxy), by: stores,
			unset: "connections are direct",
			help:  "A proxy that connects to destinations by `CONNECT`: `http://user:password@host:port`, or `https://`."},
	}}
}
