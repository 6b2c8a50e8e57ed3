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

	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// errSeedProduction is the answer to `gateway seed` in production.
var errSeedProduction = errors.New("the demo integrations have secrets that everybody knows, so they are not made where APP_ENV is production")

// Seed makes the demo integrations and a few example events, once, and tells out
// what it did. callback is a URL to deliver to, "" for the gateway's own sink.
func Seed(ctx context.Context, cfg config.Config, log *slog.Logger, callback string, out io.Writer) error {
	if cfg.Env == config.Production {
		return errSeedProduction
	}
	s, err := open(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer s.close(log)
	g, err := wire(cfg, s, log)
	if err != nil {
		return err
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

// CallbackBase checks a URL to deliver to and takes off its last slash.
func CallbackBase(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if err := egress.CheckURL(text); err != nil {
		return "", err
	}
	if strings.Contains(text, "?") {
		return "", errors.New("it must not have a query, since /<provider> is put behind it")
	}
	return strings.TrimRight(text, "/"), nil
}

// destinationsFor gives each source's destination: below callback, or the sink of
// the gateway that listens on port of this machine.
func destinationsFor(callback, scheme string, port int) func(source string) string {
	if callback == "" {
		callback = fmt.Sprintf("%s://127.0.0.1:%d%s%s", scheme, port, httpapi.Base, strings.TrimRight(sinkRoute, "/"))
	}
	return func(source string) string { return callback + "/" + source }
}

// localSink finds destinations that seed made and nobody changed.
var localSink = regexp.MustCompile(`^https?://127\.0\.0\.1:\d+` + regexp.QuoteMeta(httpapi.Base+sinkRoute) + `[a-z]+$`)

// seeded is what there is of a demo source after seeding.
type seeded struct {
	source  string
	created bool
	urls    []string // of its destinations
}

func (s seeded) String() string {
	how := "is there already"
	if s.created {
		how = "made"
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

// seedSource makes a source with its destination and examples, or leaves the one
// that exists as it is, save that an untouched local destination follows url.
func (g *system) seedSource(ctx context.Context, s demoSource, url string) (seeded, error) {
	made := seeded{source: s.name}
	var integrationID string
	err := g.db.InTx(ctx, func(tx *database.Tx) error {
		var err error
		integrationID, made.created, err = g.ingestion.AddIntegration(ctx, tx, ingestion.NewIntegration{
			Source: s.name, Provider: s.name, Name: s.title, Secrets: []secret.Value{secret.New(s.secret)},
		})
		if err != nil || !made.created {
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
	made.urls, err = g.follow(ctx, existing, url)
	return made, err
}

// follow moves the untouched local destinations of existing to url, and gives where
// all of them are then.
func (g *system) follow(ctx context.Context, existing []contract.Destination, url string) ([]string, error) {
	urls := make([]string, len(existing))
	err := g.db.InTx(ctx, func(tx *database.Tx) error {
		for i, d := range existing {
			urls[i] = d.URL
			if d.URL == url || !localSink.MatchString(d.URL) {
				continue
			}
			if err := g.delivery.ChangeDestination(ctx, tx, d.IntegrationID, d.ID, contract.DestinationConfig{URL: &url}); err != nil {
				return err
			}
			urls[i] = url
		}
		return nil
	})
	return urls, err
}

// nobody is an address that no client has (RFC 5737), so that the example is not counted
// against one's limit.
const nobody = "192.0.2.1:0"

// post sends a webhook to this process's own handler, over no network: the
// ordinary path.
func (g *system) post(ctx context.Context, s demoSource, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, httpapi.Base+"/webhooks/"+s.name, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.RemoteAddr = nobody
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(s.header, s.credential([]byte(body)))
	answer := &answerWriter{header: http.Header{}}
	g.server.Handler().ServeHTTP(answer, req)
	if answer.status != http.StatusAccepted && answer.status != http.StatusOK {
		return fmt.Errorf("the gateway answered %d: %s", answer.status, answer.body.String())
	}
	return nil
}

// answerWriter keeps an answer.
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
