// Package app puts the program together. wire is the one place that says who
// talks to whom; the other files are the life of each command.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"integration-gateway/modules/access"
	"integration-gateway/modules/audit"
	"integration-gateway/modules/delivery"
	"integration-gateway/modules/erasure"
	"integration-gateway/modules/ingestion"
	"integration-gateway/modules/replay"
	"integration-gateway/modules/retention"
	"integration-gateway/modules/secrets"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/tlsfiles"
)

// system is everything, built and not started.
type system struct {
	*stores
	server    *httpapi.Server
	manager   *httpapi.Server // of the management API; server itself where they are not apart
	out       *egress.Client
	audit     *audit.Module
	access    *access.Module
	ingestion *ingestion.Module
	delivery  *delivery.Module
	replay    *replay.Module
	retention *retention.Module
	erasure   *erasure.Module
	secrets   *secrets.Module
	ring      *keyring.Ring
	followers []*tlsfiles.Follower // of the listeners' certificates
	log       *slog.Logger
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
	ring, err := keys(cfg, s.retired, log)
	if err != nil {
		return nil, err
	}
	known, err := providers(cfg)
	if err != nil {
		return nil, err
	}
	proxy, err := egressProxy(cfg)
	if err != nil {
		return nil, err
	}
	out := egress.New(egress.Config{Allow: cfg.EgressAllow, Deny: cfg.EgressDeny, Proxy: proxy, Timeout: maxAttempt})
	trail := audit.New(audit.Config{SealKeys: sealKeys(ring)}, audit.Deps{DB: s.db, Log: log, Now: clock.System})

	events, replays := &eventsLater{}, &replaysLater{}
	deliveries := delivery.New(deliveryConfig(cfg, s.tool), delivery.Deps{
		DB: s.db, Log: log, Now: clock.System, Broker: s.broker, Cache: s.cache, Sender: out,
		Events: events, Replays: replays, Sealer: ring, Replayer: replays, Auditor: trail,
	})
	sources := ingestion.New(ingestionConfig(cfg), ingestion.Deps{
		DB: s.db, Log: log, Cache: s.cache, Now: clock.System, Providers: known, Sealer: ring,
		Audit: trail, Scheduler: deliveries, Deliveries: deliveries, Destinations: deliveries, Fetch: fetching(out),
	})
	requests := replay.New(replay.Deps{DB: s.db, Events: sources, Scheduler: deliveries, Audit: trail})
	events.Events, replays.Replays, replays.Replayer = sources, requests, requests
	keeper := retention.New(retention.Config{Events: cfg.Retention.Events, Audit: cfg.Retention.Audit},
		retention.Deps{DB: s.db, Log: log, Now: clock.System, Audit: trail})
	eraser := erasure.New(erasure.Config{}, erasure.Deps{DB: s.db, Log: log, Events: sources, Deliveries: deliveries, Audit: trail})
	guard := secrets.New(secrets.Config{}, secrets.Deps{DB: s.db, Ring: ring, Audit: trail, Kinds: []secrets.Kind{
		{Name: "sources", Store: sources}, {Name: "destinations", Store: deliveries}, {Name: "quarantine", Marks: sources}, {Name: "audit seals", Marks: trail},
	}})

	keys := access.New(access.Config{}, access.Deps{DB: s.db, Log: log, Now: clock.System, Audit: trail, Sources: sources})
	g := &system{stores: s, out: out, audit: trail, access: keys, ingestion: sources, delivery: deliveries, replay: requests,
		retention: keeper, erasure: eraser, secrets: guard, ring: ring, log: log, queue: cfg.RabbitMQ.Process}
	err = g.listeners(cfg, httpapi.Deps{Log: log, Now: clock.System, Keys: keys, Tokens: tokens(cfg, sources, log), AuthFailed: func(reason, _ string) {
		trail.Refused(contract.Refusal{Action: "auth.failed", EntityType: contract.EntityManagement, Source: "management", Reason: reason})
	}})
	if err != nil {
		return nil, err
	}
	g.server.Health(s.checks(), s.db.Ping)
	if g.manager != g.server {
		g.manager.Health(s.checks(), s.db.Ping)
	}
	routes := g.manager.Routes()
	routes.Public = g.server.Routes().Public
	sources.Routes(routes)
	deliveries.Routes(routes)
	requests.Routes(routes)
	trail.Routes(routes)
	keys.Routes(routes)
	if cfg.Env != config.Production {
		newSink().Routes(routes)
	}
	return g, nil
}

// checks are the dependencies by the names that health shows, whatever drives them.
func (s *stores) checks() map[string]httpapi.Check {
	return map[string]httpapi.Check{"postgres": s.db.Ping, "redis": s.cache.Ping, "rabbitmq": s.broker.Ping}
}

// egressProxy is nil where there is none.
func egressProxy(cfg config.Config) (*url.URL, error) {
	if cfg.EgressProxy.Empty() {
		return nil, nil //nolint:nilnil // no proxy
	}
	proxy, err := url.Parse(cfg.EgressProxy.Reveal())
	if err != nil {
		return nil, errors.New("EGRESS_PROXY is not well-formed") // the error would repeat a password
	}
	return proxy, nil
}

// fetching gets pages by way of the client that bounds what comes back.
func fetching(out *egress.Client) ingestion.Fetch {
	return func(ctx context.Context, url string) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return 0, nil, errors.New("the address cannot be asked") // without the address, which may hold a token
		}
		res, err := out.Do(req, nil)
		return res.Status, res.Body, err
	}
}

func deliveryConfig(cfg config.Config, tool bool) delivery.Config {
	var relayGrace time.Duration
	if tool {
		relayGrace = time.Nanosecond // the processes that run publish what it queues, at once
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
		OwnSecrets:         append([]secret.Value{cfg.ManagementKey, cfg.SecretsKey}, cfg.SecretsReadKeys...),
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
		FailuresPerMinute: cfg.ManagementFailures,
	}
}

// drainTime is the part of the grace time in which work under way may finish; the
// rest is for writing down what became of it.
func drainTime(cfg config.Config) time.Duration { return cfg.ShutdownGrace * 4 / 5 }
