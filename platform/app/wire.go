// Package app puts the program together. wire is the one place that says who
// talks to whom; the other files are the life of each command.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"integration-gateway/modules/audit"
	"integration-gateway/modules/delivery"
	"integration-gateway/modules/ingestion"
	"integration-gateway/modules/replay"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// system is everything, built and not started.
type system struct {
	*stores
	server    *httpapi.Server
	out       *egress.Client
	audit     *audit.Module
	ingestion *ingestion.Module
	delivery  *delivery.Module
	replay    *replay.Module
	sealer    sealer
	queue     string // the process queue's name at the broker
}

// eventsLater and replaysLater stand in for modules that are built after the one
// that needs them. They are filled before anything starts.
type (
	eventsLater  struct{ delivery.Events }
	replaysLater struct {
		delivery.Replays
		delivery.Replayer
	}
)

// maxAttempt is a ceiling for attempts, whatever a destination's own timeout is.
const maxAttempt = 10 * time.Minute

// wire builds everything in order.
func wire(cfg config.Config, s *stores, log *slog.Logger) (*system, error) {
	sealer, err := newSealer(cfg.SecretsKey)
	if err != nil {
		return nil, err
	}
	if cfg.SecretsKey.Empty() {
		log.Warn("SECRETS_KEY is not set: the database keeps secrets as they are; set one of at least 32 characters, the same for every process")
	}
	known, err := providers(cfg)
	if err != nil {
		return nil, err
	}
	out := egress.New(egress.Config{Allow: cfg.EgressAllow, Timeout: maxAttempt})
	keys, err := sealKeys(cfg.SecretsKey)
	if err != nil {
		return nil, err
	}
	trail := audit.New(audit.Config{SealKeys: keys}, audit.Deps{DB: s.db, Log: log, Now: clock.System})

	events, replays := &eventsLater{}, &replaysLater{}
	deliveries := delivery.New(deliveryConfig(cfg), delivery.Deps{
		DB: s.db, Log: log, Now: clock.System, Broker: s.broker, Cache: s.cache, Sender: out,
		Events: events, Replays: replays, Sealer: sealer, Replayer: replays, Auditor: trail,
	})
	sources := ingestion.New(ingestionConfig(cfg), ingestion.Deps{
		DB: s.db, Log: log, Cache: s.cache, Now: clock.System, Providers: known, Sealer: sealer,
		Audit: trail, Scheduler: deliveries, Deliveries: deliveries, Destinations: deliveries, Fetch: fetching(out),
	})
	requests := replay.New(replay.Deps{DB: s.db, Events: sources, Scheduler: deliveries, Audit: trail})
	events.Events, replays.Replays, replays.Replayer = sources, requests, requests

	server := httpapi.New(httpConfig(cfg), httpapi.Deps{Log: log, Now: clock.System, AuthFailed: func(reason, _ string) {
		trail.Refused(contract.Refusal{Action: "auth.failed", EntityType: contract.EntityManagement, Source: "management", Reason: reason})
	}})
	server.Health(s.checks(), s.db.Ping)
	routes := server.Routes()
	sources.Routes(routes)
	deliveries.Routes(routes)
	requests.Routes(routes)
	trail.Routes(routes)
	if cfg.Env != config.Production {
		newSink().Routes(routes)
	}
	return &system{s, server, out, trail, sources, deliveries, requests, sealer, cfg.RabbitMQ.Process}, nil
}

// checks are the dependencies by the names that health shows, whatever drives them.
func (s *stores) checks() map[string]httpapi.Check {
	return map[string]httpapi.Check{"postgres": s.db.Ping, "redis": s.cache.Ping, "rabbitmq": s.broker.Ping}
}

// fetching gets pages by way of the client that bounds what comes back.
func fetching(out *egress.Client) ingestion.Fetch {
	return func(ctx context.Context, url string) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return 0, nil, errors.New("the address cannot be asked") // without the address, which may hold a token
		}
		res, err := out.Do(req)
		return res.Status, res.Body, err
	}
}

func deliveryConfig(cfg config.Config) delivery.Config {
	return delivery.Config{
		Queues:      queueNames(cfg),
		MaxAttempts: cfg.Delivery.MaxAttempts,
		RetryBase:   cfg.Delivery.RetryBase,
		RetryCap:    cfg.Delivery.RetryCap,
		Timeout:     cfg.Delivery.Timeout,
		LockTTL:     cfg.Delivery.LockTTL,
		Concurrency: cfg.Delivery.Concurrency,
		// One destination takes a quarter of a worker at most.
		PerDestination: max(1, cfg.Delivery.Concurrency/4),
		LeaseMargin:    cfg.Delivery.LeaseMargin,
		BreakerVolume:  cfg.Delivery.BreakerVolume,
		BreakerRate:    float64(cfg.Delivery.BreakerPercent) / 100,
		BreakerProbe:   cfg.Delivery.BreakerProbe,
		Grace:          drainTime(cfg),
	}
}

func ingestionConfig(cfg config.Config) ingestion.Config {
	var known []secret.Value
	if cfg.Env == config.Production {
		for _, demo := range demoSources() {
			known = append(known, secret.New(demo.secret))
		}
	}
	return ingestion.Config{
		MaxSourceBodyBytes: config.MaxSourceBodyBytes,
		RefusedSecrets:     known,
		OwnSecrets:         []secret.Value{cfg.ManagementKey, cfg.SecretsKey},
		Quarantine: ingestion.Quarantine{Retention: cfg.Webhook.QuarantineTime, PerSource: cfg.Webhook.QuarantineRequests,
			BytesPerSource: cfg.Webhook.QuarantineBytes},
		MaxBodyBytes:          cfg.Webhook.MaxBodyBytes,
		RateLimitPerMinute:    cfg.Webhook.RatePerMinute,
		FailureLimitPerMinute: cfg.Webhook.FailurePerMinute,
		IdempotencyTTL:        cfg.Webhook.IdempotencyTTL,
		PublicBaseURL:         cfg.HTTP.PublicBaseURL,
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
	}
}

// drainTime is the part of the grace time in which work under way may finish; the
// rest is for writing down what became of it.
func drainTime(cfg config.Config) time.Duration { return cfg.ShutdownGrace * 4 / 5 }
