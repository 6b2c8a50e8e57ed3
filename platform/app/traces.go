package app

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"time"

	"integration-gateway/platform/config"
	"integration-gateway/platform/id"
	"integration-gateway/platform/tracing"
)

// newTraces starts sending spans, if the settings name a collector. It returns nil if they name
// none.
func newTraces(cfg config.Config, s *stores, log *slog.Logger) (*tracing.Tracer, error) {
	if !cfg.Traces.On() {
		return nil, nil //nolint:nilnil // no traces
	}
	resource := map[string]string{tracing.ServiceVersion: cfg.Version, tracing.ServiceInstanceID: id.New(), tracing.Role: s.role}
	maps.Copy(resource, cfg.Traces.Resource)
	resource[tracing.ServiceName] = serviceName(cfg.Traces)
	otlp := cfg.Traces.Settings()
	tracer, err := tracing.New(tracing.Config{
		Exporter: tracing.Exporter{URL: cfg.Traces.URL().Reveal(), Headers: otlp.Headers, Timeout: otlp.Timeout, Gzip: otlp.Compression == "gzip",
			Authorities: otlp.Authorities, Certificate: otlp.Certificate, Key: otlp.Key},
		Sampler:  tracing.Sample(cfg.Traces.Ratio()),
		Batch:    tracing.Batch{Queue: cfg.Traces.Queue, Size: cfg.Traces.Batch, Delay: cfg.Traces.Delay, Timeout: cfg.Traces.ExportTimeout},
		Resource: resource, Database: databaseSystem(s), Broker: brokerSystem(cfg),
	}, log)
	if err != nil {
		return nil, err
	}
	if to, err := url.Parse(cfg.Traces.URL().Reveal()); err == nil {
		log.Info("sending spans of events", "to", to.Host, "share", cfg.Traces.Ratio())
	}
	return tracer, nil
}

// serviceName is that of OTEL_SERVICE_NAME, or else that of OTEL_RESOURCE_ATTRIBUTES.
func serviceName(t config.Traces) string {
	if named := t.Resource[tracing.ServiceName]; named != "" && t.Service == config.DefaultText("OTEL_SERVICE_NAME") {
		return named
	}
	return t.Service
}

func databaseSystem(s *stores) string {
	if s.db.Dialect.Name == "postgres" {
		return tracing.PostgreSQL
	}
	return tracing.SQLite
}

func brokerSystem(cfg config.Config) string {
	if cfg.RabbitMQ.URL.Empty() {
		return tracing.InProcess
	}
	return tracing.RabbitMQ
}

// flushTimeout bounds how long a process that stops waits for the collector.
const flushTimeout = time.Second

// flushTraces sends the spans that wait.
func flushTraces(t *tracing.Tracer) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	t.Close(ctx)
}
