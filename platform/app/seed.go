package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// errSeedProduction is the error of `gateway seed` in production.
var errSeedProduction = errors.New("the demo integrations have well-known secrets, so they are not created in production")

// Seed creates the demo integrations and a few example events, once, and prints what it
// did. callback is a URL to deliver to, "" for the gateway's own sink.
func Seed(ctx context.Context, cfg config.Config, log *slog.Logger, callback string, out io.Writer) error {
	if cfg.Env == config.Production {
		return errSeedProduction
	}
	db, err := openForTool(ctx, cfg, log, toolPatience)
	if err != nil {
		return err
	}
	s, err := openedRecords(ctx, db, log)
	if err != nil {
		return err
	}
	if s, err = s.complete(ctx, cfg, log, false); err != nil {
		return err
	}
	defer s.close(log)
	g, err := wire(cfg, s, log)
	if err != nil {
		return err
	}
	if cfg.SecretsKey.Empty() {
		if err := g.secrets.CheckKeys(ctx); err != nil { // it would store secrets in plain text beside encrypted ones
			return err
		}
	}
	all, err := g.seed(ctx, destinationsFor(callback, "http", cfg.HTTP.Port))
	if err != nil {
		return err
	}
	for _, made := range all {
		_, _ = fmt.Fprintln(out, made)
	}
	return nil
}

// CallbackBase validates a URL to deliver to and removes its trailing slash.
func CallbackBase(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if err := egress.CheckURL(text); err != nil {
		return "", err
	}
	if strings.Contains(text, "?") {
		return "", errors.New("it must not have a query, since /<provider> is appended to it")
	}
	return strings.TrimRight(text, "/"), nil
}

// destinationsFor returns the URL of each source's destination: below callback, or the sink
// of the gateway that listens on port of this machine.
func destinationsFor(callback, scheme string, port int) func(source string) string {
	if callback == "" {
		callback = fmt.Sprintf("%s://127.0.0.1:%d%s%s", scheme, port, httpapi.Base, strings.TrimRight(sinkRoute, "/"))
	}
	return func(source string) string { return callback + "/" + source }
}

// localSink matches destinations that seed created and nobody changed.
var localSink = regexp.MustCompile(`^https?://127\.0\.0\.1:\d+` + regexp.QuoteMeta(httpapi.Base+sinkRoute) + `[a-z]+$`)

// seeded is a demo source after seeding.
type seeded struct {
	source  string
	created bool
	urls    []string // of its destinations
}

func (s seeded) String() string {
	how := "already exists"
	if s.created {
		how = "created"
	}
	return fmt.Sprintf("%s: %s, delivers to %s", s.source, how, strings.Join(s.urls, ", "))
}

func (g *system) seed(ctx context.Context, destination func(source string) string) ([]seeded, error) {
	ctx = httpapi.WithActor(ctx, contract.ActorSeed)
	var all []seeded
	for _, s := range demoSources() {
		made, err := g.seedSource(ctx, s, destination(s.name))
		if err != nil {
			return nil, fmt.Errorf("seed %s: %w", s.name, err)
		}
		if made.created && s.name == acme.name {
			if err := g.post(ctx, acme, examplePending); err != nil {
				return nil, fmt.Errorf("seed the pending example: %w", err)
			}
		}
		all = append(all, made)
	}
	return all, nil
}

// seedSource creates a source with its destination and examples, or leaves an existing one
// unchanged, except that an unmodified local destination is moved to url.
func (g *system) seedSource(ctx context.Context, s demoSource, url string) (seeded, error) {
	made := seeded{source: s.name}
	var integrationID string
	err := g.db.InTx(ctx, func(tx *database.Tx) error {
		var err error
		if integrationID, made.created, err = g.createSource(ctx, tx, s); err != nil || !made.created {
			return err
		}
		to, err := g.delivery.AddDestination(ctx, tx, integrationID, contract.DestinationConfig{URL: &url})
		if err != nil {
			return err
		}
		return g.seedExamples(ctx, tx, s, integrationID, to.ID)
	})
	if err != nil {
		return made, err
	}
	existing, err := g.delivery.Destinations(ctx, []string{integrationID})
	if err != nil {
		return made, err
	}
	made.urls, err = g.updateLocalDestinations(ctx, existing, url)
	return made, err
}

// createSource creates a source, unless it exists, and returns its integration.
func (g *system) createSource(ctx context.Context, tx *database.Tx, s demoSource) (integrationID string, created bool, err error) {
	made, err := g.integrations.CreateIntegration(ctx, tx, integrations.IntegrationConfig{
		Source: s.name, Provider: s.name, Name: s.title, Secrets: []integrations.SecretConfig{{Value: secret.New(s.secret)}},
	})
	if fault.Is(err, fault.Conflict) {
		integrationID, err = g.integrations.IntegrationOf(ctx, s.name)
		return integrationID, false, err
	}
	return made.ID, true, err
}

// updateLocalDestinations moves the unmodified local destinations of existing to url, and
// returns the URLs of all of them.
func (g *system) updateLocalDestinations(ctx context.Context, existing []contract.Destination, url string) ([]string, error) {
	urls := make([]string, len(existing))
	err := g.db.InTx(ctx, func(tx *database.Tx) error {
		for i, d := range existing {
			urls[i] = d.URL
			if d.URL == url || !localSink.MatchString(d.URL) {
				continue
			}
			err := g.delivery.ChangeDestination(ctx, tx, d.IntegrationID, d.ID, contract.DestinationConfig{URL: &url})
			if fault.Is(err, fault.Invalid) { // it has credentials, which must not be sent to another URL
				continue
			}
			if err != nil {
				return err
			}
			urls[i] = url
		}
		return nil
	})
	return urls, err
}

// exampleAddr is an address that no client has (RFC 5737), so that the example does not
// count against a client's limit.
const exampleAddr = "192.0.2.1:0"

// post sends a webhook to this process's own handler, without the network, on the ordinary
// path.
func (g *system) post(ctx context.Context, s demoSource, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, httpapi.Base+"/webhooks/"+s.name, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.RemoteAddr = exampleAddr
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(s.header, s.credential([]byte(body)))
	answer := &answerWriter{header: http.Header{}}
	g.server.Handler().ServeHTTP(answer, req)
	if answer.status != http.StatusAccepted && answer.status != http.StatusOK {
		return fmt.Errorf("the gateway answered %d: %s", answer.status, answer.body.String())
	}
	return nil
}

// answerWriter records a response.
type answerWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) { w.status = status }

func (w *answerWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.body.Write(b)
}
