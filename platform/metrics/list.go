package metrics

import "strings"

// Definition describes a metric. docs/operations.md lists them all.
type Definition struct {
	Name   string
	Type   string // counter, gauge or histogram
	Labels []string
	Help   string
	// Shared metrics describe the whole installation and are the same in every process: use
	// max(). All others describe the process.
	Shared bool
}

// Table returns the list as a table in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, d := range Definitions() {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		help := d.Help
		if d.Shared {
			help += " Of the installation."
		}
		b.WriteString("| `" + d.Name + "` | " + d.Type + " | " + labels + " | " + help + " |\n")
	}
	return b.String() + "\n"
}

// The names of the metrics that code refers to more than once.
const (
	jobs        = "gateway_jobs"
	breakers    = "gateway_breaker_state"
	deadLetters = "gateway_dead_letters_open"
	quarantined = "gateway_quarantine_open"
)

// Definitions lists every metric of the gateway, besides those of the Go runtime and of the
// process.
func Definitions() []Definition {
	return append([]Definition{
		{"gateway_build_info", "gauge", []string{"version", "goversion"}, "Always 1; the labels say which program runs.", false},
		{"gateway_config_info", "gauge", []string{"fingerprint"}, "Always 1; the fingerprint is equal in processes with equal settings. Secrets are not part of it.", false},
		{"gateway_dependency_up", "gauge", []string{"dependency"}, "1 if the dependency answered the last check: postgres, redis or rabbitmq, whatever their drivers.", false},
		{"gateway_cache_up", "gauge", nil, "1 if the cache answered the last check.", false},
		{"gateway_clock_ahead_seconds", "gauge", nil, "How far the clock of the process's machine is ahead of the database's, by which everything is due; negative if it is behind.", false},
		{"gateway_tls_certificate_expiry_timestamp_seconds", "gauge", []string{"use"}, "When the listener's certificate expires; use destination is the client certificate of a destination that expires first.", false},

		{"gateway_http_request_duration_seconds", "histogram", []string{"route", "method", "code"}, "Time from a request's header to the end of its answer.", false},
		{"gateway_inflight_body_bytes", "gauge", nil, "Bytes of request bodies in memory; MAX_INFLIGHT_BODY_BYTES limits them.", false},

		{"gateway_webhooks_received_total", "counter", []string{"source", "outcome"}, "Webhooks by outcome: accepted, duplicate, handshake, refused (the sender's fault) or failed (ours).", false},
		{"gateway_webhooks_refused_total", "counter", []string{"source", "reason"}, "Refused webhooks by reason, as the audit trail has it.", false},
		{"gateway_webhook_ingest_duration_seconds", "histogram", []string{"outcome"}, "Time from a webhook's header to the answer, its body and the commit included.", false},
		{"gateway_webhook_last_accepted_timestamp_seconds", "gauge", []string{"source"}, "When this process last accepted a webhook of the source.", false},
		{"gateway_secret_last_matched_timestamp_seconds", "gauge", []string{"source", "secret"}, "When this process last verified a webhook by a secret: the newest one of the source, or an older one.", false},
		{"gateway_quarantine_dropped_total", "counter", []string{"source"}, "Refused requests that are not in quarantine because a bound was reached or the write failed.", false},

		{"gateway_spool_webhooks_total", "counter", []string{"outcome"}, "Webhooks that could not be stored: spooled (kept at the broker) or refused (it did not take them); and what became of spooled ones: stored, repeated (the event was known) or parked (the database did not accept them).", false},
		{"gateway_spool_bytes_total", "counter", []string{"outcome"}, "The bytes of their messages.", false},
		{"gateway_spool_webhooks", "gauge", []string{"state"}, "Webhooks at the broker: waiting for the database, or parked.", false},
		{"gateway_spool_oldest_age_seconds", "gauge", nil, "How long the oldest of those that wait has waited, as far as this process knows; 0 if none does.", false},
		{"gateway_database_away", "gauge", nil, "1 while the database does not answer and webhooks go to the broker.", false},

		{"gateway_store_commit_duration_seconds", "histogram", nil, "Time of a commit of accepted webhooks.", false},
		{"gateway_store_commit_webhooks", "histogram", nil, "Webhooks in a commit.", false},
		{"gateway_db_pool_max_connections", "gauge", []string{"pool"}, "Connections that the pool may open.", false},
		{"gateway_db_pool_open_connections", "gauge", []string{"pool"}, "Open connections.", false},
		{"gateway_db_pool_in_use_connections", "gauge", []string{"pool"}, "Connections in use.", false},
		{"gateway_db_pool_waits_total", "counter", []string{"pool"}, "Requests for a connection that had to wait for one.", false},
		{"gateway_db_pool_wait_seconds_total", "counter", []string{"pool"}, "Time spent waiting for a connection.", false},
		{"gateway_db_errors_total", "counter", []string{"kind"}, "Failed database operations: unavailable, conflict (a deadlock that repeating did not solve) or other.", false},

		{"gateway_delivery_attempts_total", "counter", []string{"destination", "outcome", "error"}, "Recorded attempts by outcome (delivered, retry, exhausted, refused) and kind of error, empty if delivered.", false},
		{"gateway_delivery_attempt_duration_seconds", "histogram", []string{"destination"}, "Duration of attempts.", false},
		{"gateway_delivery_end_to_end_seconds", "histogram", []string{"destination"}, "Time from receiving an event to its delivery. Replays do not count.", false},
		{"gateway_leases_expired_total", "counter", nil, "Jobs queued again because their lease expired or their process died.", false},
		{"gateway_jobs_republished_total", "counter", []string{"cause"}, "Jobs published again: unpublished (no message was confirmed, or the delay was long), message_lost or queue_lost.", false},

		{"gateway_audit_seals_lost_total", "counter", nil, "Times that seals of the audit trail were gone, or others, that this process had seen.", false},
		{"gateway_broker_connected", "gauge", []string{"role"}, "1 while the connection is open: publishing or consuming.", false},
		{"gateway_broker_blocked", "gauge", nil, "1 while the broker accepts no messages because it is low on memory or disk.", false},
		{"gateway_broker_confirm_duration_seconds", "histogram", nil, "Time until the broker has confirmed a group of messages.", false},
		{"gateway_retention_last_success_timestamp_seconds", "gauge", nil, "When this process last completed a round of retention. One process at a time does it.", false},
	}, sharedDefinitions()...)
}

// sharedDefinitions lists the metrics that come from the records.
func sharedDefinitions() []Definition {
	return []Definition{
		{"gateway_gauges_timestamp_seconds", "gauge", nil, "When the metrics below were measured: every ten seconds, by one process. They disappear if that fails for 30 seconds.", true},
		{jobs, "gauge", []string{"state"}, "Live jobs: due, scheduled (due later), parked (the destination or source is off, or the breaker open) or running. Counted up to 100,000; due and scheduled ones together.", true},
		{"gateway_oldest_due_job_age_seconds", "gauge", []string{"queue"}, "How long the oldest due job waits; 0 if none does.", true},
		{"gateway_outbox_oldest_unpublished_age_seconds", "gauge", nil, "How long the oldest due job waits to be published; 0 if none does.", true},
		{deadLetters, "gauge", []string{"kind"}, "Open dead letters. Counted up to 100,000.", true},
		{quarantined, "gauge", []string{"source"}, "Requests in quarantine. Counted up to 100,000.", true},
		{breakers, "gauge", []string{"destination"}, "0 if the circuit breaker is closed, 1 if half open, 2 if open.", true},
		{"gateway_audit_seal_lag_seconds", "gauge", nil, "Age of the oldest audit entry without a seal; 0 if all are sealed.", true},
		{"gateway_partition_horizon_seconds", "gauge", []string{"table"}, "How far ahead the table has partitions. PostgreSQL only.", true},
		{"gateway_check_problems", "gauge", nil, "Problems that the last consistency check found that ran by itself.", true},
		{"gateway_check_timestamp_seconds", "gauge", nil, "When it ended. Absent before the first, and with VERIFY_EVERY=0 for ever.", true},
	}
}

func definition(name string) Definition {
	for _, d := range Definitions() {
		if d.Name == name {
			return d
		}
	}
	panic("metrics: " + name + " is not in the list of definitions")
}
