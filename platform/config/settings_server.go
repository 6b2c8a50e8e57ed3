package config

import "time"

// The defaults of METRICS_ADDR.
const (
	defaultMetricsAddr = "127.0.0.1:9464"
	workMetricsAddr    = "127.0.0.1:9465"
)

func serverSettings(c *Config) section {
	return section{title: "Server", help: "How the gateway listens for requests.", settings: []setting{
		{name: "APP_ENV", fallback: string(Development), read: environment(&c.Env), by: everyone,
			help: "Selects the environment. `production` refuses demo keys and demo secrets, requires `SECRETS_KEY`, and removes the delivery sink. The container image sets `production`. If `APP_ENV` is not set, every command but `dev` reads `NODE_ENV` instead."},
		// Its default depends on the role: see complete.
		{name: "APP_HOST", read: plain(&c.HTTP.Host), by: listeners,
			unset: "`0.0.0.0`, or `127.0.0.1` for `dev`",
			help:  "The address to listen on."},
		{name: "APP_PORT", fallback: "3000", read: integer(&c.HTTP.Port, 0, 65535), by: "`serve`, `dev`, `seed`, `send`",
			help: "The port to listen on. `0` takes a free port."},
		{name: "PUBLIC_BASE_URL", blank: true, read: baseURL(&c.HTTP.PublicBaseURL), by: "`serve`, `dev`, `send`, `integrations`",
			unset: "addresses are shown as they are on this machine",
			help:  "The address at which providers reach the gateway, such as `https://hooks.example.com`, without user, query or fragment. It is needed to verify providers that sign the URL, and it is shown where a webhook's address is printed."},
		{name: "TRUSTED_PROXIES", blank: true, read: networks(&c.HTTP.TrustedProxies), by: listeners,
			unset: "no proxy is trusted",
			help:  "The proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`. Forwarded headers from any other address are ignored."},
		{name: "HTTP_READ_TIMEOUT_MS", fallback: "60000", read: duration(&c.HTTP.ReadTimeout, time.Millisecond, 100, 600_000), by: listeners,
			help: "The time a client may take to send a whole request, body included."},
		{name: "HTTP_WRITE_TIMEOUT_MS", fallback: "60000", read: duration(&c.HTTP.WriteTimeout, time.Millisecond, 100, 600_000), by: listeners,
			help: "The time an answer may take."},
		{name: "HTTP_IDLE_TIMEOUT_MS", fallback: "120000", read: duration(&c.HTTP.IdleTimeout, time.Millisecond, 1000, 3_600_000), by: listeners,
			help: "How long an idle connection is kept. Set it longer than the load balancer's own idle timeout."},
		{name: "HTTP_MAX_CONNECTIONS", fallback: "8192", read: integer(&c.HTTP.MaxConnections, 16, 1_000_000), by: listeners,
			help: "The number of connections that may be open at once. At the limit, a connection that waits for its next request is closed to make room; if there is none, the new connection is closed."},
		{name: "HTTP_NETWORK_SHARE_PERCENT", fallback: "25", read: integer(&c.HTTP.NetworkShare, 1, 100), by: listeners,
			help: "The share of `HTTP_MAX_CONNECTIONS` and `MAX_INFLIGHT_BODY_BYTES`, in percent, that one client network (24 bits of IPv4, 48 of IPv6) may have once half of the total is taken. It is also a network's share of the 256 compressed bodies that may wait to be decompressed. `100` sets no share."},
		{name: "HTTP_MIN_BODY_BYTES_PER_SECOND", fallback: "1024", read: integer(&c.HTTP.MinBodyRate, 0, 1<<30), by: listeners,
			help: "The slowest rate at which a body may arrive, measured from five seconds after its request began. Slower requests are refused. `0` accepts any rate."},
		{name: "WORK_HTTP_ADDR", fallback: "127.0.0.1:3001", blank: true, read: address(&c.WorkAddr), by: "`work`",
			help: "The address on which `gateway work` answers `/livez` and `/readyz`. An empty value turns it off."},
		{name: "METRICS_ADDR", fallback: defaultMetricsAddr, blank: true, read: address(&c.MetricsAddr), by: "`serve`, `work`",
			help: "The address on which Prometheus reads `/metrics`, without a credential: only your Prometheus should reach it. `work` takes `" + workMetricsAddr + "` if it is not set, so that it can run beside `serve`. An empty value turns it off. `dev` answers `/metrics` on its port, with the management key. See [Metrics](operations.md#metrics)."},
		{name: "DRAIN_DELAY_SECONDS", read: duration(&c.DrainDelay, time.Second, 0, 300), by: listeners,
			unset: "`5` for `serve` if `APP_ENV` is `production`; otherwise `0`",
			help:  "How long requests are accepted after SIGTERM while `/readyz` already answers 503, so that load balancers stop sending them before the listener closes. Set it longer than a load balancer takes to notice. `SHUTDOWN_GRACE_SECONDS` begins afterwards."},
		{name: "SHUTDOWN_GRACE_SECONDS", fallback: "25", read: duration(&c.ShutdownGrace, time.Second, 1, 600), by: running,
			help: "How long work under way may take to finish after SIGTERM. What has not finished is given back to the queue."},
	}}
}

func logSettings(c *Config) section {
	return section{title: "Logging", help: "Logs go to standard error.", settings: []setting{
		{name: "LOG_LEVEL", fallback: "info", read: level(&c.Log.Level), by: everyone, reloads: true,
			help: "The least severe lines to log."},
		{name: "LOG_FORMAT", fallback: "auto", read: oneOf(&c.Log.Format, "auto", "json", "text"), by: everyone,
			help: "The format of log lines. `auto` is `text` on a terminal and `json` elsewhere."},
	}}
}

func managementSettings(c *Config) section {
	return section{title: "Management API", help: "See [Management](security.md#management).", settings: []setting{
		{name: "MANAGEMENT_API_KEY", read: key(&c.ManagementKey, 16), by: listeners,
			unset: "`serve` does not start; `dev` uses `gateway-demo-management-key`",
			help:  "The key that management requests carry in `x-internal-api-key`. It may do everything. Production refuses a key that is easily guessed. Make further keys with roles by `gateway keys create`."},
		{name: "MANAGEMENT_ADDR", blank: true, read: address(&c.ManagementAddr), by: servers,
			unset: "they are answered on `APP_PORT`",
			help:  "An address for the management API and health on a listener of their own, such as `10.0.0.5:3002`. The public listener then has no management routes."},
		{name: "CONSOLE", read: onOff(&c.Console), by: listeners,
			unset: "`on` for `dev`, and for `serve` with `MANAGEMENT_ADDR`; otherwise `off`",
			help:  "Whether the [console](console.md) stands at `/console`, where the management API is: `on` or `off`."},
		{name: "MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", fallback: "60", read: integer(&c.ManagementFailures, 0, 100_000_000), by: listeners,
			help: "Management requests without a valid credential that one client address may send in a minute. Beyond it, wrong credentials are delayed and four are checked at once. `0` sets no limit."},
		{name: "EVENT_STREAM_MAX_CLIENTS", fallback: "16", read: integer(&c.StreamClients, 1, 1000), by: listeners,
			help: "How many clients may follow `GET /events/stream` at once in one process. A further one is answered 503. Each may have 4096 messages waiting in memory."},
	}}
}

func secretSettings(c *Config) section {
	return section{title: "Encryption of secrets", help: "See [Secrets](security.md#secrets) and [Changing SECRETS_KEY](operations.md#changing-secrets_key).", settings: []setting{
		{name: "SECRETS_KEY", read: key(&c.SecretsKey, secretsKeyLength), by: stores,
			unset: "secrets are stored in plain text, with a warning; production refuses to start; `dev` makes a key in its data folder",
			help:  "Encrypts the secrets that the database stores: those of integrations and destinations. Every process needs the same key. Production refuses a key that is easily guessed."},
		{name: "SECRETS_KEY_FILE", read: keysFile(&c.SecretsKey, &c.SecretsReadKeys), by: stores,
			unset: "`SECRETS_KEY` holds the key",
			help:  "A file that holds the key in its first line, in place of `SECRETS_KEY`. Keys in the lines below it only decrypt."},
		{name: "SECRETS_READ_KEYS", blank: true, read: keys(&c.SecretsReadKeys), by: stores,
			unset: "`SECRETS_KEY` alone decrypts",
			help:  "Further keys that only decrypt: the previous key, or the next one, while the key is being changed."},
		{name: "SECRETS_READ_PLAIN", fallback: "false", read: boolean(&c.SecretsReadPlain), by: stores,
			help: "Allows secrets to be read that were stored before there was a key, until `gateway secrets rotate-key` has encrypted them. Otherwise plain secrets are refused once a key is set."},
	}}
}
