package ingestion

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/testkit"
)

func TestLimits(t *testing.T) {
	limited := func(t *testing.T, change func(*Config, *Deps)) *gateway {
		return setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, d *Deps) {
			c.RateLimitPerMinute, c.FailureLimitPerMinute = 2, 2
			change(c, d)
		})
	}
	bad := func() *http.Request { return acmeRequest(acmeBody("bad"), "X-Acme-Signature", "00") }
	from := func(r *http.Request, ip string) *http.Request {
		r.RemoteAddr = ip + ":1234"
		return r
	}
	t.Run("verified requests, by source and address", func(t *testing.T) {
		g := limited(t, func(*Config, *Deps) {})
		require.Equal(t, 202, g.do(acmeRequest(acmeBody("1"))).Status)
		require.Equal(t, 200, g.do(acmeRequest(acmeBody("1"))).Status)
		a := g.do(acmeRequest(acmeBody("2")))
		require.Equal(t, 429, a.Status)
		require.Equal(t, "RATE_LIMITED", a.Error.Code)
		require.Equal(t, "60", a.Header.Get("Retry-After"))
		require.Equal(t, []contract.Refusal{{Action: "webhook.rejected", EntityType: "webhook_event", Source: "acme", Reason: "rate_limited"}}, g.audit.take())
		require.Equal(t, 202, g.do(from(acmeRequest(acmeBody("3")), "192.0.2.9")).Status, "another address")
		g.sources.change("acme", func(s *settings) { s.RateLimit = new(int) })
		require.Equal(t, 202, g.do(acmeRequest(acmeBody("4"))).Status, "the source's own limit is none")
		require.Equal(t, 3, g.stored())
	})
	t.Run("refused requests, and good ones never because of them", func(t *testing.T) {
		g := limited(t, func(*Config, *Deps) {})
		require.Equal(t, 401, g.do(bad()).Status)
		require.Equal(t, 404, g.do(request("initech", "{}")).Status)
		a := g.do(bad())
		require.Equal(t, 429, a.Status)
		require.NotEmpty(t, a.Header.Get("Retry-After"))
		require.Equal(t, 202, g.do(acmeRequest(acmeBody("1"))).Status)
		require.Equal(t, 202, g.do(acmeRequest(acmeBody("2"))).Status, "bad requests have used up nothing")
		require.Equal(t, 401, g.do(from(bad(), "192.0.2.9")).Status, "another address")
		require.Len(t, g.audit.take(), 4)
	})
	t.Run("0 turns them off", func(t *testing.T) {
		g := limited(t, func(c *Config, _ *Deps) { c.RateLimitPerMinute, c.FailureLimitPerMinute = 0, 0 })
		for range 5 {
			require.Equal(t, 401, g.do(bad()).Status)
			require.Less(t, g.do(acmeRequest(acmeBody("1"))).Status, 300)
		}
	})
	for name, c := range map[string]down{"without the cache nothing is limited": {}, "nor with one that hangs": {hangs: true}} {
		t.Run(name, func(t *testing.T) {
			g := limited(t, func(_ *Config, d *Deps) { d.Cache = c })
			for _, want := range []int{202, 200, 200, 200} {
				require.Equal(t, want, g.do(acmeRequest(acmeBody("1"))).Status)
				require.Equal(t, 401, g.do(bad()).Status)
			}
			require.Equal(t, 1, g.stored())
		})
	}
}

func TestStoredHeadersHoldNoCredential(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	body := `{"id":"1","type":"t","timestamp":"2026-01-31T12:00:00Z","resource":{"id":1}}`
	r := request("globex", body)
	for name, value := range map[string]string{
		"X-Globex-Token": globexSecret, "Authorization": "Basic eA==", "Proxy-Authorization": "x", "Cookie": "a=b", "Set-Cookie": "a=b",
		"X-Api-Key": "x", "X-Internal-Api-Key": "x", "X-Amz-Security-Token": "x", "X-Copy": globexSecret, "X-Within": "Bearer " + globexSecret + ";",
		"X-Plain": "kept", "User-Agent": "Globex/1", "X-Acme-Signature": "00",
	} {
		r.Header.Set(name, value)
	}
	r.Header.Add("X-Plain", "twice")
	a := g.do(r)
	require.Equal(t, 202, a.Status)
	headers := g.storedHeaders()[0]
	require.JSONEq(t, `{"authorization":["[redacted]"],"content-type":["application/json"],"cookie":["[redacted]"],"proxy-authorization":["[redacted]"],
		"set-cookie":["[redacted]"],"user-agent":["Globex/1"],"x-acme-signature":["00"],"x-amz-security-token":["[redacted]"],"x-api-key":["[redacted]"],
		"x-copy":["[redacted]"],"x-globex-token":["[redacted]"],"x-internal-api-key":["[redacted]"],"x-plain":["kept","twice"],"x-within":["[redacted]"]}`, headers)
	for _, path := range []string{"/events/" + a.receipt(t).EventID, "/integrations", "/events"} {
		require.NotContains(t, string(g.get(path).Data), globexSecret)
	}
}
