// Package config reads what the program is told: environment variables over
// configs/gateway.yaml over defaults. Everything that is wrong is reported at
// once, by name, and no report holds a secret's value.
package config

import (
	"net/netip"
	"time"

	"integration-gateway/platform/egress"
	"integration-gateway/platform/secret"
)

// Env is where the program runs; it decides which conveniences are refused.
type Env string

// The environments.
const (
	Development Env = "development"
	Test        Env = "test"
	Production  Env = "production"
)

// Role is the command that asks: each needs different settings.
type Role string

// The roles.
const (
	Serve   Role = "serve"
	Work    Role = "work"
	Migrate Role = "migrate"
	Seed    Role = "seed"
	Dev     Role = "dev"
	Send    Role = "send"
)

// Config is everything the program is told, checked.
type Config struct {
	Env        Env
	HTTP       HTTP
	Listeners  Listeners
	Log        Log
	Database   Database
	RedisURL   secret.Value // empty: no fast path
	RabbitMQ   RabbitMQ
	Webhook    Webhook
	Delivery   Delivery
	Retention  Retention
	Alerts     Alerts
	Traces     Traces
	CheckEvery time.Duration // how often the records are checked by themselves; 0 turns it off

	ManagementKey      secret.Value
	StreamClients      int // streams of events that one process serves at once
	ManagementFailures int // requests without a valid credential per client address and minute; 0 turns it off
	// SecretsKey encrypts integrations' and destinations' secrets in the
	// database; empty: they are stored as they are.
	SecretsKey secret.Value
	// SecretsReadKeys open what was, or will be, encrypted under them and not under
	// SecretsKey.
	SecretsReadKeys []secret.Value
	// SecretsReadPlain lets secrets be read that were stored before there was a SecretsKey.
	SecretsReadPlain bool
	// Hosts are the names by which the management API may be asked for, besides localhost and
	// addresses; nil: any. `gateway dev` sets it.
	Hosts          []string
	ManagementAddr string // host:port of the management API's own listener; "": the public one
	Console        bool   // the operator's console stands beside the management API
	WorkAddr       string // host:port of a worker's own listener; "" turns it off
	MetricsAddr    string // host:port of the listener for metrics; "" turns it off
	// MetricsInAPI says that the management API answers /metrics: `gateway dev` has one listener.
	MetricsInAPI  bool
	DrainDelay    time.Duration // how long a stopping process still accepts requests while it is not ready
	ShutdownGrace time.Duration
	EgressAllow   egress.Allow // what destinations may be besides public addresses
	EgressDeny    egress.Deny  // what they may not be, whatever is allowed
	EgressProxy   secret.Value // the URL of what connects to destinations for the gateway, with its credentials; empty: nothing does
	Providers     []Provider   // of one's own

	Settings    []Setting // in effect, as they may be shown; without those that the role does not read
	Fingerprint string    // equal in processes with equal settings, secrets aside; no setting
	Version     string    // of this program, as `gateway version` prints it; no setting
}

// HTTP is how requests are taken.
type HTTP struct {
	Host             string
	Port             int            // 0 takes a free one
	PublicBaseURL    string         // without a slash at the end; "" when unknown
	TrustedProxies   []netip.Prefix // whose forwarded headers count
	ClientCertHeader string         // in which they report client certificates; "" for none
	ReadTimeout      time.Duration  // a whole request, body included
	WriteTimeout     time.Duration
	IdleTimeout      time.Duration
	MaxConnections   int   // open at once
	NetworkShare     int   // percent of connections and body bytes for one client network; 100 for all
	MinBodyRate      int64 // bytes a second of a body; 0 for any
}

// Log is what is written about the program's work.
type Log struct {
	Level  string // a name that telemetry knows
	Format string // json, text, or auto: text on a terminal
}

// Database is the system of record.
type Database struct {
	URL            secret.Value // postgres://… or sqlite://path
	MaxConnections int          // PostgreSQL only
}

// SQLite reports whether the records are in a file of this machine.
func (d Database) SQLite() bool { return scheme(d.URL.Reveal()) == "sqlite" }

// RabbitMQ is the broker and the queues' names there.
type RabbitMQ struct {
	URL       secret.Value // empty: a queue in this process
	Process   string
	Retry     string // the prefix of the delay queues' names
	Replay    string
	Dead      string
	QueueType string // classic or quorum
	Spool     Spool
}

// Spool is where webhooks wait at the broker while the database is away.
type Spool struct {
	On       bool
	Queue    string
	MaxBytes int64         // of the queue
	MaxAge   time.Duration // of the oldest webhook; 0 for no bound
}

// Webhook bounds what senders may do.
type Webhook struct {
	RatePerMinute    int // verified requests per source and client address; 0 turns it off
	FailurePerMinute int // refused requests per client address; 0 turns it off
	MaxBodyBytes     int64
	MaxInflightBytes int64 // of all bodies that are being read or stored
	MaxInflight      int64 // requests whose bodies have come and that are not answered yet
	IdempotencyTTL   time.Duration

	ReplayWindow time.Duration // how long signatures are remembered where the event's id is not signed; 0 turns it off
	ReplayAction string        // what is done with one that comes under another id: ReplayMark or ReplayQuarantine

	QuarantineTime      time.Duration // how long refused requests are kept; 0 keeps none
	QuarantineRequests  int           // of one source
	QuarantineBytes     int64         // of one source, as they are stored
	QuarantinePerMinute int64         // bytes of one source and minute, as they are stored
}

// What is done with a webhook that may be a replay.
const (
	ReplayMark       = "mark"
	ReplayQuarantine = "quarantine"
)

// Delivery is how events are sent on.
type Delivery struct {
	MaxAttempts int // in all, the first included
	RetryBase   time.Duration
	RetryCap    time.Duration
	Timeout     time.Duration // one attempt
	LockTTL     time.Duration
	Concurrency int // deliveries under way at once in one process
	LeaseMargin time.Duration

	BreakerVolume  int // attempts within a minute
	BreakerPercent int // of them failed
	BreakerProbe   time.Duration
}

// Retention is how long records are kept; 0 keeps them for ever.
type Retention struct {
	Events time.Duration // with all that belongs to them, idempotency keys included
	Audit  time.Duration
}

// DemoKey is the management key of `gateway dev`, refused in production.
const DemoKey = "gateway-demo-management-key"

// MaxSourceBodyBytes is what a source may raise its own body limit to: GitHub
// sends up to 25 MB.
const MaxSourceBodyBytes = 32 << 20
