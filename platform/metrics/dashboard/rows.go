package dashboard

import "fmt"

// The choices at the top of the dashboard, as conditions.
const (
	ofProcess     = `instance=~"$instance"`
	ofSource      = ofProcess + `,source=~"$source"`
	ofDestination = ofProcess + `,destination=~"$destination"`
)

// Rows lists what the dashboard shows. Metrics of the installation are the same in every
// process, so they are taken by max.
func Rows() []Row {
	return []Row{now(), ingestion(), delivery(), records(), transport(), process()}
}

func now() Row {
	return Row{"Now", []Panel{
		figure("Accepted", "Webhooks stored a second.", "ops", rate(`gateway_webhooks_received_total`, ofSource+`,outcome="accepted"`, "")),
		figure("Delivered", "Deliveries that succeeded, a second.", "ops", rate(`gateway_delivery_attempts_total`, ofDestination+`,outcome="delivered"`, "")),
		figure("Oldest due job", "How far behind delivery is.", "s", `max(gateway_oldest_due_job_age_seconds)`),
		figure("Dead letters", "Open: each needs a decision.", "short", `sum(max by (kind) (gateway_dead_letters_open))`),
		figure("Quarantine", "Refused requests that are kept.", "short", `sum(max by (source) (gateway_quarantine_open{source=~"$source"}))`),
		figure("Breakers not closed", "Destinations that are down.", "short", `count(max by (destination) (gateway_breaker_state) > 0) or vector(0)`),
	}}
}

func ingestion() Row {
	return Row{"Ingestion", []Panel{
		chart("Webhooks by outcome", "failed is ours, refused the sender's.", "ops",
			Target{rate("gateway_webhooks_received_total", ofSource, "outcome"), "{{outcome}}"}),
		chart("Webhooks by source", "", "ops", Target{rate("gateway_webhooks_received_total", ofSource, "source"), "{{source}}"}),
		chart("Refused by reason", "no_match after a rotation: the provider signs with a secret that is not here.", "ops",
			Target{rate("gateway_webhooks_refused_total", ofSource, "source, reason"), "{{source}} {{reason}}"}),
		chart("Time to answer", "Of accepted webhooks, the commit included.", "s", quantiles("gateway_webhook_ingest_duration_seconds", ofProcess+`,outcome="accepted"`)...),
		chart("Since the last accepted webhook", "", "s",
			Target{`time() - max by (source) (gateway_webhook_last_accepted_timestamp_seconds{` + ofSource + `})`, "{{source}}"}),
		chart("Since a secret last matched", "An older secret that still matches is not rotated yet.", "s",
			Target{`time() - max by (source, secret) (gateway_secret_last_matched_timestamp_seconds{` + ofSource + `})`, "{{source}} {{secret}}"}),
		chart("Quarantine", "Dropped ones are beyond its bounds.", "short",
			Target{`max by (source) (gateway_quarantine_open{source=~"$source"})`, "{{source}}"},
			Target{`sum by (source) (increase(gateway_quarantine_dropped_total{` + ofSource + `}[5m]))`, "{{source}} dropped in 5 min"}),
		chart("Spool", "Webhooks at the broker: waiting for the database, or parked.", "short",
			Target{`max by (state) (gateway_spool_webhooks{` + ofProcess + `})`, "{{state}}"},
			Target{`sum by (outcome) (increase(gateway_spool_webhooks_total{` + ofProcess + `}[5m]))`, "{{outcome}} in 5 min"}),
		chart("Spool in bytes", "A second.", "Bps", Target{rate("gateway_spool_bytes_total", ofProcess, "outcome"), "{{outcome}}"}),
		chart("Oldest in the spool", "Greater than 0 while the database is away.", "s", Target{`max by (instance) (gateway_spool_oldest_age_seconds{` + ofProcess + `})`, "{{instance}}"},
			Target{`gateway_database_away{` + ofProcess + `}`, "{{instance}} away"}),
		chart("Bodies in memory", "", "bytes", Target{`gateway_inflight_body_bytes{` + ofProcess + `}`, "{{instance}}"}),
		chart("Requests by route", "99th percentile.", "s",
			Target{quantile("0.99", "gateway_http_request_duration_seconds", ofProcess, "route"), "{{route}}"}),
	}}
}

func delivery() Row {
	return Row{"Delivery", []Panel{
		chart("Attempts by outcome", "", "ops", Target{rate("gateway_delivery_attempts_total", ofDestination, "outcome"), "{{outcome}}"}),
		chart("Failures by destination", "Which destination fails most, and why.", "ops",
			Target{rate("gateway_delivery_attempts_total", ofDestination+`,outcome!="delivered"`, "destination, error"), "{{destination}} {{error}}"}),
		chart("Received to delivered", "95th percentile; replays do not count.", "s",
			Target{quantile("0.95", "gateway_delivery_end_to_end_seconds", ofDestination, "destination"), "{{destination}}"}),
		chart("Duration of attempts", "95th percentile.", "s",
			Target{quantile("0.95", "gateway_delivery_attempt_duration_seconds", ofDestination, "destination"), "{{destination}}"}),
		chart("Breakers", "0 closed, 1 half open, 2 open.", "short", Target{`max by (destination) (gateway_breaker_state{destination=~"$destination"})`, "{{destination}}"}),
		chart("Live jobs", "", "short", Target{`max by (state) (gateway_jobs)`, "{{state}}"}),
		chart("Oldest due job", "", "s", Target{`max by (queue) (gateway_oldest_due_job_age_seconds)`, "{{queue}}"},
			Target{`max(gateway_outbox_oldest_unpublished_age_seconds)`, "not published"}),
		chart("Dead letters", "", "short", Target{`max by (kind) (gateway_dead_letters_open)`, "{{kind}}"}),
		chart("Jobs taken back or published again", "Processes die, or messages are lost.", "ops",
			Target{rate("gateway_leases_expired_total", ofProcess, ""), "lease expired"},
			Target{rate("gateway_jobs_republished_total", ofProcess, "cause"), "{{cause}}"}),
	}}
}

func records() Row {
	return Row{"Database and records", []Panel{
		chart("Commit of webhooks", "", "s", quantiles("gateway_store_commit_duration_seconds", ofProcess)...),
		chart("Webhooks in a commit", "Mean.", "short", Target{fmt.Sprintf("sum(rate(gateway_store_commit_webhooks_sum{%[1]s}[5m])) / sum(rate(gateway_store_commit_webhooks_count{%[1]s}[5m]))", ofProcess), "webhooks"}),
		chart("Errors", "", "ops", Target{rate("gateway_db_errors_total", ofProcess, "kind"), "{{kind}}"}),
		chart("Connections", "", "short", Target{`sum by (pool) (gateway_db_pool_in_use_connections{` + ofProcess + `})`, "{{pool}} in use"},
			Target{`sum by (pool) (gateway_db_pool_open_connections{` + ofProcess + `})`, "{{pool}} open"},
			Target{`sum by (pool) (gateway_db_pool_max_connections{` + ofProcess + `})`, "{{pool}} at most"}),
		chart("Waiting for a connection", "Seconds a second, and requests that waited.", "short", Target{rate("gateway_db_pool_wait_seconds_total", ofProcess, "pool"), "{{pool}} s/s"},
			Target{rate("gateway_db_pool_waits_total", ofProcess, "pool"), "{{pool}} waits"}),
		chart("Losses of audit seals", "Times that a process missed seals that it had seen.", "short", Target{`sum(gateway_audit_seals_lost_total)`, "losses"}),
		chart("Audit entries without a seal", "Age of the oldest.", "s", Target{`max(gateway_audit_seal_lag_seconds)`, "lag"}),
		chart("Partitions ahead", "Without them webhooks are refused.", "s", Target{`min by (table) (gateway_partition_horizon_seconds)`, "{{table}}"}),
		chart("Since retention", "", "s", Target{`time() - max(gateway_retention_last_success_timestamp_seconds)`, "last round"}),
		chart("Consistency check", "Above 0: run gateway verify. It runs by itself once a day.", "short", Target{`max(gateway_check_problems)`, "problems"}),
		chart("Since the consistency check", "", "s", Target{`time() - max(gateway_check_timestamp_seconds)`, "last check"}),
		chart("Since the gauges were measured", "Above 30 s those of jobs, breakers and dead letters are missing.", "s",
			Target{`time() - max(gateway_gauges_timestamp_seconds)`, "age"}),
	}}
}

func transport() Row {
	return Row{"RabbitMQ and Redis", []Panel{
		chart("Dependencies", "1 is up.", "short", Target{`min by (dependency) (gateway_dependency_up{` + ofProcess + `})`, "{{dependency}}"},
			Target{`min(gateway_cache_up{` + ofProcess + `})`, "cache"}),
		chart("Broker", "", "short", Target{`min by (role) (gateway_broker_connected{` + ofProcess + `})`, "{{role}}"},
			Target{`max(gateway_broker_blocked{` + ofProcess + `})`, "blocked"}),
		chart("Publisher confirms", "", "s", quantiles("gateway_broker_confirm_duration_seconds", ofProcess)...),
	}}
}

func process() Row {
	return Row{"Processes", []Panel{
		chart("Processor", "", "percentunit", Target{`rate(process_cpu_seconds_total{` + ofProcess + `}[5m])`, "{{instance}}"}),
		chart("Memory", "", "bytes", Target{`process_resident_memory_bytes{` + ofProcess + `}`, "{{instance}}"}),
		chart("Goroutines", "", "short", Target{`go_goroutines{` + ofProcess + `}`, "{{instance}}"}),
		chart("Programs", "Processes by version and settings; more than one line outside a rollout is a mistake.", "short",
			Target{`count by (version, goversion) (gateway_build_info)`, "{{version}} {{goversion}}"},
			Target{`count by (fingerprint) (gateway_config_info)`, "settings {{fingerprint}}"}),
		chart("Clocks", "Ahead of the database's.", "s", Target{`gateway_clock_ahead_seconds{` + ofProcess + `}`, "{{instance}}"}),
		chart("Certificates expire in", "", "s", Target{`min by (instance, use) (gateway_tls_certificate_expiry_timestamp_seconds{` + ofProcess + `}) - time()`, "{{instance}} {{use}}"}),
	}}
}

func figure(title, help, unit, expr string) Panel {
	return Panel{Title: title, Help: help, Unit: unit, Single: true, Targets: []Target{{expr, ""}}}
}

func chart(title, help, unit string, targets ...Target) Panel {
	return Panel{Title: title, Help: help, Unit: unit, Targets: targets}
}

// rate is the increase a second of a counter, summed up to the labels in by.
func rate(counter, conditions, by string) string {
	if by != "" {
		by = " by (" + by + ")"
	}
	return fmt.Sprintf("sum%s (rate(%s{%s}[$__rate_interval]))", by, counter, conditions)
}

func quantile(q, histogram, conditions, by string) string {
	if by != "" {
		by = ", " + by
	}
	return fmt.Sprintf("histogram_quantile(%s, sum by (le%s) (rate(%s_bucket{%s}[$__rate_interval])))", q, by, histogram, conditions)
}

func quantiles(histogram, conditions string) []Target {
	return []Target{{quantile("0.5", histogram, conditions, ""), "p50"}, {quantile("0.95", histogram, conditions, ""), "p95"}, {quantile("0.99", histogram, conditions, ""), "p99"}}
}
