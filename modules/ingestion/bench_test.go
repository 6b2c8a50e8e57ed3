package ingestion

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/metrics"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

// BenchmarkStore is the commit of a group of new webhooks of 340 bytes, with all that
// belongs to them; an operation is a group.
func BenchmarkStore(b *testing.B) {
	for _, store := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", testkit.SQLite}, {"postgres", testkit.Postgres}} {
		b.Run(store.name, func(b *testing.B) {
			g := setup(b, testkit.Open(b, store.url(b)))
			for _, size := range []int{1, 64} {
				b.Run(fmt.Sprintf("group=%d", size), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						b.StopTimer()
						group := g.webhooks(b, size)
						b.StartTimer()
						for _, r := range g.module.commit(group) {
							if r.Err != nil || r.Value.Duplicate {
								b.Fatal(r)
							}
						}
					}
					b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "webhooks/s")
				})
			}
		})
	}
}

// BenchmarkAccept is a webhook from the request to the answer, without metrics and with
// them; an operation is a webhook.
func BenchmarkAccept(b *testing.B) {
	for _, c := range []struct {
		name    string
		metrics Metrics
	}{{"metrics=off", nil}, {"metrics=on", metrics.New(metrics.Config{}, clock.System)}} {
		b.Run(c.name, func(b *testing.B) {
			g := setup(b, testkit.Open(b, testkit.SQLite(b)), func(cfg *Config, d *Deps) {
				cfg.RateLimitPerMinute, d.Metrics = 0, c.metrics
			})
			b.ReportAllocs()
			for b.Loop() {
				if a := g.do(acmeRequest(acmeBody(id.New()))); a.Status != http.StatusAccepted {
					b.Fatal(a)
				}
			}
		})
	}
}

// webhooks are new webhooks, verified and normalized.
func (g *gateway) webhooks(b *testing.B, n int) []verifiedWebhook {
	src, err := g.module.find(b.Context(), "acme")
	require.NoError(b, err)
	group := make([]verifiedWebhook, n)
	for i := range group {
		req := g.benchRequest()
		events, err := src.Spec.Normalize(req)
		require.NoError(b, err)
		group[i] = verifiedWebhook{source: src, webhookID: id.New(), secretID: id.New(), correlationID: id.New(),
			sourceIP: "127.0.0.1", receivedAt: req.ReceivedAt}
		group[i].storedPayload, err = src.payload(req, events, false)
		require.NoError(b, err)
		group[i].compact(nil)
	}
	return group
}

// benchRequest is a new webhook of acme of 340 bytes.
func (g *gateway) benchRequest() provider.Request {
	body := acmeBody(id.New())
	body = strings.Replace(body, `"d1"`, `"d1","note":"`+strings.Repeat("x", 340-len(body)-len(`,"note":""`))+`"`, 1)
	return provider.Request{Body: []byte(body), ReceivedAt: clock.System(), Header: http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"340"}, "X-Acme-Signature": {sign(body)}, "User-Agent": {"acme/1.0"},
	}}
}
