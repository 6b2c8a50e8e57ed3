package tlsfiles

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// The pace of what Follower does.
const (
	lookEvery  = 2 * time.Second
	repeatLine = 6 * time.Hour // what is still wrong is said again
	// mostNotice is how long before its end a certificate is spoken of, at most: a fifth of
	// its whole life, so that those of a day are not spoken of all day.
	mostNotice = 14 * 24 * time.Hour
)

// Follower gives a listener the certificate that is in the files at the moment.
type Follower struct {
	paths Paths
	now   clock.Now
	log   *slog.Logger
	live  atomic.Pointer[tls.Config]

	// Of Run alone.
	used    contents
	trouble complaint // about the files
	ending  complaint // about the certificate's life
}

// complaint is something that is wrong, said when it begins and then now and again.
type complaint struct {
	about string // "": nothing
	said  time.Time
}

// due reports whether about is to be said now.
func (c *complaint) due(about string, now time.Time) bool {
	if about == c.about && now.Sub(c.said) < repeatLine {
		return false
	}
	c.about, c.said = about, now
	return about != ""
}

// Open reads the files. Its error is Mistakes. name is the listener's, for the log.
func Open(name string, p Paths, now clock.Now, log *slog.Logger) (*Follower, error) {
	f := &Follower{paths: p, now: now, log: log.With("listener", name)}
	c, cfg, wrong := p.load()
	if len(wrong) > 0 {
		return nil, wrong
	}
	f.used = c
	f.live.Store(cfg)
	f.noticeEnd(now())
	return f, nil
}

// Config is the listener's. Each handshake takes what the files held when they were last
// looked at; connections that stand are left alone.
func (f *Follower) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         f.live.Load().NextProtos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.live.Load(), nil },
	}
}

// Run looks at the files every two seconds until ctx ends. It compares what they hold, so
// that it does not matter how they are changed: in place, by a rename, or by a link.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

// look takes up what is new and right. What is wrong is left, and told once it is seen a
// second time: two files are seldom changed in one moment.
func (f *Follower) look() {
	now := f.now()
	defer f.noticeEnd(now)
	c, cfg, wrong := f.paths.load()
	if len(wrong) > 0 {
		if f.trouble.about == "" {
			f.trouble.about = "seen once"
			return
		}
		if f.trouble.due(wrong.Error(), now) {
			f.log.Error("the TLS files are wrong: the certificate of before is used on", "error", wrong)
		}
		return
	}
	f.trouble = complaint{}
	if c.equal(f.used) {
		return
	}
	f.used, f.ending = c, complaint{}
	f.live.Store(cfg)
	leaf := cfg.Certificates[0].Leaf
	f.log.Info("took up the TLS files as they are now", "serial", leaf.SerialNumber.Text(16), "until", clock.At(leaf.NotAfter))
}

// noticeEnd warns of a certificate that has ended or soon will.
func (f *Follower) noticeEnd(now time.Time) {
	leaf := f.live.Load().Certificates[0].Leaf
	left := leaf.NotAfter.Sub(now)
	switch notice := min(mostNotice, leaf.NotAfter.Sub(leaf.NotBefore)/5); {
	case left <= 0:
		if f.ending.due("expired", now) {
			f.log.Error("the TLS certificate has expired: clients refuse it", "since", clock.At(leaf.NotAfter))
		}
	case left < notice:
		if f.ending.due("ends soon", now) {
			f.log.Warn("the TLS certificate ends soon; renew it", "until", clock.At(leaf.NotAfter), "left", left.Round(time.Minute).String())
		}
	default:
		f.ending = complaint{}
	}
}
