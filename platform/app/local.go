package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"integration-gateway/platform/client"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// LocalAPI answers the API's requests in this process, on the database: the command line
// uses it where no server is named. The caller is the command line, with all permissions.
type LocalAPI struct {
	system *system
	cfg    config.Config
	log    *slog.Logger
}

// PublicBaseURL is the configured address of the gateway, as senders see it; "" if unknown.
func (a *LocalAPI) PublicBaseURL() string { return a.cfg.HTTP.PublicBaseURL }

// OpenLocalAPI opens the database. Without a key it refuses a database with encrypted secrets,
// so that it cannot store one in plain text beside them; with a key it works also where an
// older one is lost, so that secrets can be set again. withBroker says that the broker is used
// too, if configured.
func OpenLocalAPI(ctx context.Context, cfg config.Config, log *slog.Logger, withBroker bool) (*LocalAPI, error) {
	g, err := openTool(ctx, cfg, slog.New(problemsOnly{log.Handler()}), withBroker)
	if err != nil {
		return nil, err
	}
	if cfg.SecretsKey.Empty() {
		if err := g.secrets.CheckKeys(ctx); err != nil {
			g.close(log)
			return nil, err
		}
	}
	return &LocalAPI{g, cfg, log}, nil
}

// Close writes what is still in memory and closes the connections.
func (a *LocalAPI) Close() error {
	defer a.system.close(a.log)
	return errors.Join(a.system.ingestion.Close(), a.system.integrations.Close())
}

// RoundTrip answers a request. The response's body streams, as over the network.
func (a *LocalAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	own := r.Clone(httpapi.WithCaller(r.Context(), httpapi.Caller{Actor: contract.ActorCLI, Role: httpapi.Admin}))
	own.RemoteAddr = exampleAddr
	return client.ServedBy(a.system.manager.Handler()).RoundTrip(own)
}

// problemsOnly drops log lines below warnings, such as the line of each request.
type problemsOnly struct{ slog.Handler }

func (h problemsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h problemsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return problemsOnly{h.Handler.WithAttrs(attrs)}
}

func (h problemsOnly) WithGroup(name string) slog.Handler {
	return problemsOnly{h.Handler.WithGroup(name)}
}
