// Package alerts tells people that something needs a hand, for installations without a
// Prometheus. It owns alerts, alert_mutes, alert_conditions, alert_certificates and
// alert_notices.
//
// One process at a time evaluates the conditions, every ten seconds, on figures that others
// have measured. An alert opens when its condition has held for a while, and is resolved when
// it has not held for a minute. Each of the two is a notice, stored with the transition, and
// sent to every target until the target accepts it: at least once, and in this order.
package alerts

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
)

// Config holds the thresholds and the targets. New replaces zero intervals with the defaults.
type Config struct {
	Thresholds Thresholds // of every condition that has one
	Targets    []Target
	Host       string        // of this process, for its certificates
	Every      time.Duration // between evaluations; default 10 s
	Calm       time.Duration // how long a condition must not hold before its alert is resolved; default 1 min
	GiveUp     time.Duration // after which a notice is not sent any more; default 1 day
	Retry      backoff.Exponential
	// MailAuthorities are trusted with the certificates of mail servers; nil: the system's.
	MailAuthorities *x509.CertPool
}

// Traffic tells what arrived at each source.
type Traffic interface {
	Traffic(ctx context.Context) ([]contract.SourceTraffic, error)
}

// Gauges gives the last measured state of the records; false if there is none.
type Gauges interface {
	Last() (contract.Gauges, bool)
}

// Sender makes HTTP requests within the rules of egress.
type Sender interface {
	Do(req *http.Request, own *egress.TLS) (egress.Response, error)
}

// Auditor records audit entries in the transaction of the change that they describe.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Deps is everything alerts needs from the outside.
type Deps struct {
	DB      *database.DB
	Log     *slog.Logger
	Now     clock.Now // the database's clock, as the processes agree on it
	Gauges  Gauges
	Traffic Traffic
	Sender  Sender
	Audit   Auditor
	// Certificates returns until when the certificates of this process's listeners are valid,
	// by listener; nil if it has none.
	Certificates func() map[string]time.Time

	// ClientCertificates is the same of destinations' client certificates, by destination id.
	ClientCertificates func() map[string]time.Time
}

// Module evaluates conditions and sends notices.
type Module struct {
	cfg  Config
	d    Deps
	told told // of Run alone
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	if cfg.Calm == 0 {
		cfg.Calm = time.Minute
	}
	if cfg.GiveUp == 0 {
		cfg.GiveUp = 24 * time.Hour
	}
	if cfg.Retry == (backoff.Exponential{}) {
		cfg.Retry = backoff.Exponential{Min: 5 * time.Second, Max: 10 * time.Minute}
	}
	d.Log = d.Log.With("module", "alerts")
	return &Module{cfg: cfg, d: d}
}

// Routes registers the module's routes. Alerts are of the whole installation, so a key that is
// restricted to sources may use none of them.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.GET("/alerts", m.list, listSpec)
	r.Viewer.GET("/alerts/mutes", m.listMutes, mutesSpec)
	r.Viewer.GET("/alerts/conditions", m.listConditions, conditionsSpec)
	r.Admin.PUT("/alerts/conditions/:condition", m.change, changeSpec)
	r.Admin.DELETE("/alerts/conditions/:condition", m.reset, resetSpec)
	r.Operator.POST("/alerts/test", m.test, testSpec)
	r.Operator.POST("/alerts/mutes", m.mute, muteSpec)
	r.Operator.DELETE("/alerts/mutes/:id", m.unmute, unmuteSpec)
	r.Operator.POST("/alerts/:id/acknowledge", m.acknowledge, acknowledgeSpec)
}

// roundTimeout limits one round: its queries, and the notices that it sends.
const roundTimeout = time.Minute

// Run evaluates the conditions and sends notices until ctx ends.
func (m *Module) Run(ctx context.Context) error {
	failing := false
	for {
		bounded, cancel := context.WithTimeout(ctx, roundTimeout)
		err := errors.Join(m.round(bounded), m.sendDue(bounded))
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "evaluating the alerts failed; will retry", "error", err)
		}
		failing = err != nil
		if !clock.Sleep(ctx, m.cfg.Every) {
			return nil
		}
	}
}

// staleAfter is the age of gauges that say nothing any more.
const staleAfter = time.Minute

// round evaluates the conditions, if no other process did so less than an interval ago.
func (m *Module) round(ctx context.Context) error {
	if err := m.tellCertificates(ctx); err != nil {
		return err
	}
	g, known := m.d.Gauges.Last()
	now := m.d.Now()
	if !known || now.Sub(g.At) > staleAfter {
		return nil
	}
	mine, err := m.claimTurn(ctx, now)
	if err != nil || !mine {
		return err
	}
	changed, err := m.overrides(ctx)
	if err != nil {
		return err
	}
	o := observed{at: now, gauges: g}
	if o.traffic, err = m.d.Traffic.Traffic(ctx); err != nil {
		return err
	}
	if o.certificates, err = m.certificates(ctx); err != nil {
		return err
	}
	return m.apply(ctx, enabled(m.cfg.Thresholds.with(changed).findings(o), changed))
}
