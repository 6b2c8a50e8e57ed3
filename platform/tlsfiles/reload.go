package tlsfiles

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// The intervals of a Reloader.
const (
	pollEvery      = 2 * time.Second
	repeatLogAfter = 6 * time.Hour // a persisting problem is logged again
	// maxWarnBefore is how long before its expiry a certificate is warned about, at most.
	// It is a fifth of its lifetime, so that a one-day certificate does not cause warnings
	// all day.
	maxWarnBefore = 14 * 24 * time.Hour
)

// Reloader serves a listener the current certificate from the files.
type Reloader struct {
	name   string
	paths  Paths
	now    clock.Now
	log    *slog.Logger
	config atomic.Pointer[tls.Config]

	// Used only by Run.
	current     contents
	fileAlert   alert // about the files
	expiryAlert alert // about the certificate's expiry
}

// alert is a problem, logged when it begins and then periodically.
type alert struct {
	about    string // "": none
	loggedAt time.Time
}

// due reports whether the problem should be logged now.
func (c *alert) due(about string, now time.Time) bool {
	if about == c.about && now.Sub(c.loggedAt) < repeatLogAfter {
		return false
	}
	c.about, c.loggedAt = about, now
	return about != ""
}

// Open reads the files. Its error is Mistakes. name is the listener's, for the log.
func Open(name string, p Paths, now clock.Now, log *slog.Logger) (*Reloader, error) {
	r := &Reloader{name: name, paths: p, now: now, log: log.With("listener", name)}
	c, cfg, wrong := p.load()
	if len(wrong) > 0 {
		return nil, wrong
	}
	r.current = c
	r.config.Store(cfg)
	r.warnExpiry(now())
	return r, nil
}

// Config returns the listener's configuration. Each handshake uses the files as last read;
// existing connections are not affected.
func (r *Reloader) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         r.config.Load().NextProtos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.config.Load(), nil },
	}
}

// Expires returns when the current certificate expires.
func (r *Reloader) Expires() time.Time { return r.config.Load().Certificates[0].Leaf.NotAfter }

// Name returns the listener's name.
func (r *Reloader) Name() string { return r.name }

// Run reads the files every two seconds until ctx ends. It compares their contents, so any
// way of changing them works: in place, by a rename, or by a link.
func (r *Reloader) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.reload()
		}
	}
}

// reload applies valid changes. Invalid files are ignored, and logged when they are seen a
// second time: two files are rarely replaced in the same moment.
func (r *Reloader) reload() {
	now := r.now()
	defer r.warnExpiry(now)
	c, cfg, wrong := r.paths.load()
	if len(wrong) > 0 {
		if r.fileAlert.about == "" {
			r.fileAlert.about = "seen once"
			return
		}
		if r.fileAlert.due(wrong.Error(), now) {
			r.log.Error("the TLS files are invalid; still using the previous certificate", "error", wrong)
		}
		return
	}
	r.fileAlert = alert{}
	if c.equal(r.current) {
		return
	}
	r.current, r.expiryAlert = c, alert{}
	r.config.Store(cfg)
	leaf := cfg.Certificates[0].Leaf
	r.log.Info("reloaded TLS certificates", "serial", leaf.SerialNumber.Text(16), "until", clock.At(leaf.NotAfter))
}

// warnExpiry warns about a certificate that has expired or will soon.
func (r *Reloader) warnExpiry(now time.Time) {
	leaf := r.config.Load().Certificates[0].Leaf
	left := leaf.NotAfter.Sub(now)
	switch notice := min(maxWarnBefore, leaf.NotAfter.Sub(leaf.NotBefore)/5); {
	case left <= 0:
		if r.expiryAlert.due("expired", now) {
			r.log.Error("the TLS certificate has expired: clients refuse it", "since", clock.At(leaf.NotAfter))
		}
	case left < notice:
		if r.expiryAlert.due("expires soon", now) {
			r.log.Warn("the TLS certificate expires soon; renew it", "until", clock.At(leaf.NotAfter), "left", left.Round(time.Minute).String())
		}
	default:
		r.expiryAlert = alert{}
	}
}
