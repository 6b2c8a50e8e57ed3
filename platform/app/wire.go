// Package app assembles the program. wire is the only place where the modules are
// connected; the other files implement the commands.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"integration-gateway/modules/access"
	"integration-gateway/modules/alerts"
	"integration-gateway/modules/audit"
	"integration-gateway/modules/console"
	"integration-gateway/modules/delivery"
	"integration-gateway/modules/erasure"
	"integration-gateway/modules/figures"
	"integration-gateway/modules/follow"
	"integration-gateway/modules/gauges"
	"integration-gateway/modules/ingestion"
	"integration-gateway/modules/ingestion/spool"
	"integration-gateway/modules/integrations"
	"integration-gateway/modules/processes"
	"integration-gateway/modules/replay"
	"integration-gateway/modules/retention"
	"integration-gateway/modules/secrets"
	"integration-gateway/modules/verify"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/metrics"
	"integration-gateway/platform/openapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/keysets"
	"integration-gateway/platform/tlsfiles"
)

// system is the whole program, built but not started.
type system struct {
	*stores
	server        *httpapi.Server
	manager       *httpapi.Server // of the management API; equal to server if they are not separate
	egressClient  *egress.Client
	audit         *audit.Module
	access        *access.Module
	tokens        *access.Tokens // nil without an issuer
	integrations  *integrations.Module
	ingestion     *ingestion.Module
	delivery      *delivery.Module
	replay        *replay.Module
	processes     *processes.Module
	retention     *retention.Module
	erasure       *erasure.Module
	follow        *follow.Module
	secrets       *secrets.Module
	ring          *keyring.Ring
	providers     provider.Registry
	metrics       *metrics.Metrics
	spool         *spool.Spool // nil if there is no broker
	gauges        *gauges.Module
	figures       *figures.Module
	alerts        *alerts.Module
	console       *console.Module      // nil if it is off
	watch         *verify.Module       // the check that runs by itself
	certReloaders []*tlsfiles.Reloader // of the listeners' certificates
	settings      *settings
	log           *slog.Logger
	queue         string // the process queue's name at the broker
}

// eventsLater, replaysLater, claimsLater and namesLater are placeholders for modules that are built
// after the one that needs them. They are filled before anything starts.
type (
	claimsLater struct{ processes.Reclaimer }
	namesLater  struct {
		audit.Sources
		audit.Events
	}
	eventsLater  struct{ delivery.Events }
	replaysLater struct {
		delivery.Replays
		delivery.Replayer
	}
)

// eventsAndSources is what delivery needs of events and of their sources.
type eventsAndSources struct {
	*ingestion.Module
	sources *integrations.Module
}

func (e eventsAndSources) ActiveIntegrations(ctx context.Context, ids []string) (map[string]bool, error) {
	return e.sources.ActiveIntegrations(ctx, ids)
}

// maxAttempt is the upper limit of an attempt's duration, whatever a destination's timeout
// is.
const maxAttempt = 10 * time.Minute

// wire builds everything in order.
func wire(cfg config.Config, s *stores, log *slog.Logger) (*system, error) {
	ring, err := keys(cfg, s.retired, log)
	if err != nil {
		return nil, err
	}
	known, err := Providers(cfg)
	if err != nil {
		return nil, err
	}
	proxy, err := egressProxy(cfg)
	if err != nil {
		return nil, err
	}
	out := egress.New(egress.Config{Allow: cfg.EgressAllow, Deny: cfg.EgressDeny, Proxy: proxy, Timeout: maxAttempt})
	now := clock.Now(s.db.Now) // stored and due times use one clock
	counted := newMetrics(cfg)
	spooled := newSpool(cfg, s, log, now, counted, ring)
	state := gauges.New(gauges.Config{}, gauges.Deps{DB: s.db, Log: log, Now: now, Metrics: counted, Spool: spooled.Depth})
	statistics := figures.New(figures.Config{}, figures.Deps{DB: s.db, Log: log, Now: now, Gauges: state})
	reports, names := observed(cfg, counted, statistics, now), &namesLater{}
	trail := audit.New(audit.Config{SealKeys: sealKeys(ring)}, audit.Deps{DB: s.db, Log: log, Now: now, Sources: names, Events: names, Metrics: counted})
	events, replays, claims := &eventsLater{}, &replaysLater{}, &claimsLater{}
	living := processes.New(processes.Config{Role: s.role, Version: cfg.Version},
		processes.Deps{DB: s.db, Log: log, Cache: s.cache, Reclaimer: claims, Audit: trail, Beat: spooled.Beat})
	deliveries := delivery.New(deliveryConfig(cfg, s.tool), delivery.Deps{
		DB: s.db, Log: log, Now: now, Broker: s.broker, Cache: s.cache, Sender: out,
		Events: events, Replays: replays, Sealer: ring, Replayer: replays, Auditor: trail, Refusals: trail, Peers: living, Metrics: reports, Traces: s.traces,
	})
	sources := integrations.New(integrationsConfig(cfg), integrations.Deps{
		DB: s.db, Log: log, Now: now, Providers: known, Sealer: ring, Audit: trail, Destinations: deliveries,
	})
	front := ingestion.New(ingestionConfig(cfg), ingestion.Deps{
		DB: s.db, Log: log, Cache: s.cache, Now: now, Digester: ring, Sources: sources, KeySets: keysets.New(fetching(out, keysets.MaxBytes), now),
		Audit: trail, Scheduler: deliveries, Deliveries: deliveries, Fetch: fetching(out, maxPage), Metrics: reports, Traces: s.traces, Spool: spooled,
	})
	requests := replay.New(replayConfig(cfg), replay.Deps{DB: s.db, Log: log, Now: now, Events: front, Scheduler: deliveries, Sources: sources, Sealer: ring, Audit: trail})
	events.Events, replays.Replays, replays.Replayer, claims.Reclaimer, names.Sources, names.Events = eventsAndSources{front, sources}, requests, requests, deliveries, sources, front
	keeper := retention.New(retention.Config{Events: cfg.Retention.Events, Audit: cfg.Retention.Audit},
		retention.Deps{DB: s.db, Log: log, Now: now, Audit: trail, Trail: trail, Succeeded: counted.RetentionSucceeded})
	eraser := erasure.New(erasure.Config{}, erasure.Deps{DB: s.db, Log: log, Now: now, Events: front, Deliveries: deliveries, Replays: requests, Sources: sources, Audit: trail, Digester: ring, Settled: spooled.Settled})
	following := follow.New(follow.Config{MaxClients: cfg.StreamClients}, follow.Deps{Log: log, Now: now, Trail: trail, Events: front})
	guard := secrets.New(secrets.Config{}, secrets.Deps{DB: s.db, Ring: ring, Audit: trail, Kinds: []secrets.Kind{
		{Name: "sources", Store: sources}, {Name: "destinations", Store: deliveries}, {Name: "replay URLs", Store: requests.SealedURLs()}, {Name: "quarantine", Usage: front}, {Name: "audit seals", Usage: trail},
	}})

	keys := access.New(access.Config{}, access.Deps{DB: s.db, Log: log, Now: now, Audit: trail, Sources: sources})
	g := &system{stores: s, egressClient: out, audit: trail, access: keys, integrations: sources, ingestion: front, delivery: deliveries, replay: requests,
		processes: living, retention: keeper, erasure: eraser, follow: following, secrets: guard, ring: ring, providers: known, log: log, queue: cfg.RabbitMQ.Process,
		metrics: counted, gauges: state, figures: statistics, spool: spooled,
		watch: verify.New(verify.Config{Grace: checkGrace, Share: checkShare, Every: cfg.CheckEvery}, verify.Deps{DB: s.db, Log: log, Now: now})}
	g.alerts = alerts.New(alertsConfig(cfg), alerts.Deps{DB: s.db, Log: log, Now: now, Gauges: state, Traffic: statistics, Sender: out, Audit: trail,
		Certificates: g.certificates, ClientCertificates: deliveries.ClientCertificates})
	err = g.listeners(cfg, httpapi.Deps{Log: log, Now: clock.System, Answered: countRequests(cfg, counted), Keys: keys, Sources: sources, Tokens: g.issuerTokens(cfg), AuthFailed: func(reason, _ string) {
		trail.Refused(contract.Refusal{Action: "auth.failed", EntityType: contract.EntityManagement, Source: "management", Reason: reason})
	}})
	if err != nil {
		return nil, err
	}
	g.settings = newSettings(cfg, living)
	g.observe()
	g.routes(cfg)
	return g, nil
}

// routes registers the routes of each module and of the system itself.
func (g *system) routes(cfg config.Config) {
	g.server.Health(g.checks(), g.withQueues(g.ready))
	if g.manager != g.server {
		g.manager.Health(g.checks(), g.withQueues(g.recordsReady))
	}
	routes := g.manager.Routes()
	routes.Public = g.server.Routes().Public
	g.ingestion.Routes(routes)
	g.follow.Routes(routes)
	g.integrations.Routes(routes)
	g.delivery.Routes(routes)
	g.replay.Routes(routes)
	g.erasure.Routes(routes)
	g.audit.Routes(routes)
	g.access.Routes(routes)
	g.processes.Routes(routes)
	g.figures.Routes(routes)
	g.alerts.Routes(routes)
	g.settings.Routes(routes)
	if cfg.MetricsInAPI {
		g.manager.Metrics(httpapi.Viewer, g.metrics.Handler())
	}
	if cfg.Env != config.Production {
		newSink().Routes(routes)
	}
	openapi.Register(g.manager.Routes().Public, g.allRoutes)
	g.addConsole(cfg)
}

// allRoutes returns the routes of both listeners, each once, in the order of registration.
func (g *system) allRoutes() []httpapi.Route {
	all := g.manager.Registered()
	for _, route := range g.server.Registered() {
		if !slices.ContainsFunc(all, func(r httpapi.Route) bool { return r.Method == route.Method && r.Path == route.Path }) {
			all = append(all, route)
		}
	}
	return all
}

// checks are the dependencies by their names in the health report, whatever their drivers.
func (g *system) checks() map[string]httpapi.Check {
	return map[string]httpapi.Check{"postgres": g.recordsReady, "redis": g.cache.Ping, "rabbitmq": g.broker.Ping}
}

// recordsReady returns nil if the database accepts writes and has a schema that this program works
// on.
func (g *system) recordsReady(ctx context.Context) error {
	return errors.Join(g.processes.Ready(ctx), g.db.SchemaReady(ctx))
}

// withQueues adds to a check of readiness that the broker's queues, where it has been reached,
// are those that this program declares: with others nothing would be delivered until somebody
// noticed.
func (g *system) withQueues(ready httpapi.Check) httpapi.Check {
	return func(ctx context.Context) error {
		err := ready(ctx)
		if mismatch := g.broker.Status().Mismatch; mismatch != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", httpapi.ErrMisconfigured, mismatch))
		}
		return err
	}
}

// egressProxy returns nil if there is none.
func egressProxy(cfg config.Config) (*url.URL, error) {
	if cfg.EgressProxy.Empty() {
		return nil, nil //nolint:nilnil // no proxy
	}
	proxy, err := url.Parse(cfg.EgressProxy.Reveal())
	if err != nil {
		return nil, errors.New("EGRESS_PROXY is not well-formed") // the error would contain the password
	}
	return proxy, nil
}

// fetching fetches pages of up to limit bytes with the HTTP client that limits responses.
func fetching(out *egress.Client, limit int) func(ctx context.Context, url string) (int, []byte, error) {
	return func(ctx context.Context, url string) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return 0, nil, errors.New("the address cannot be fetched") // without the address, which may contain a token
		}
		res, err := out.Read(req, limit)
		return res.Status, res.Body, err
	}
}

// maxPage is the most that is read of a certificate or a handshake's page.
const maxPage = 16 << 10
