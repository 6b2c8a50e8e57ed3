package ingestion

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

const (
	certificateAge  = 24 * time.Hour // how long a certificate is kept
	failureAge      = 10 * time.Second
	fetchTimeout    = 5 * time.Second
	maxCertificates = 64
)

// Fetch gets a page of at most some kilobytes, and its status.
type Fetch func(ctx context.Context, url string) (status int, body []byte, err error)

// certificates fetches providers' certificates and keeps them. The addresses were
// checked before; a failure is kept for a moment, so that a flood asks nobody.
type certificates struct {
	fetch  Fetch // nil: nothing can be fetched
	now    clock.Now
	flight singleflight.Group

	mu   sync.Mutex
	kept map[string]keptCertificate
}

type keptCertificate struct {
	certificate *x509.Certificate
	err         error
	until       time.Time
}

func newCertificates(fetch Fetch, now clock.Now) *certificates {
	return &certificates{fetch: fetch, now: now, kept: map[string]keptCertificate{}}
}

// of gives what a request's verifier asks.
func (c *certificates) of(ctx context.Context) func(url string) (*x509.Certificate, error) {
	if c.fetch == nil {
		return nil
	}
	return func(url string) (*x509.Certificate, error) { return c.get(ctx, url) }
}

func (c *certificates) get(ctx context.Context, url string) (*x509.Certificate, error) {
	if k, ok := c.lookUp(url); ok {
		return k.certificate, k.err
	}
	answer := c.flight.DoChan(url, func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		k := keptCertificate{until: c.now().Add(certificateAge)}
		if k.certificate, k.err = c.ask(own, url); k.err != nil {
			k.until = c.now().Add(failureAge)
		}
		c.keep(url, k)
		return k, nil
	})
	select {
	case r := <-answer:
		k, _ := r.Val.(keptCertificate)
		return k.certificate, k.err
	case <-ctx.Done():
		return nil, callerGone(ctx.Err())
	}
}

// ask fetches one certificate in PEM. Not getting an answer is an outage, and not the
// sender's mistake: the address is the provider's own. That there is none is a forgery.
func (c *certificates) ask(ctx context.Context, url string) (*x509.Certificate, error) {
	status, body, err := c.fetch(ctx, url)
	switch {
	case err == nil && status/100 == 4:
		return nil, provider.NoCertificate()
	case err == nil && status != http.StatusOK:
		err = fmt.Errorf("the answer was %d", status)
	}
	if err != nil {
		return nil, noCertificate(err)
	}
	block, _ := pem.Decode(body)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, noCertificate(fmt.Errorf("%d bytes that are no certificate", len(body)))
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, noCertificate(err)
	}
	return certificate, nil
}

func noCertificate(err error) error {
	return fault.Unavailable.Wrap(err, "certificate_unavailable", "The provider's certificate cannot be fetched at the moment.").After(failureAge)
}

func (c *certificates) lookUp(url string) (keptCertificate, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[url]
	return k, ok && c.now().Before(k.until)
}

func (c *certificates) keep(url string, k keptCertificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxCertificates {
		// A flood of made-up addresses leaves the real certificates alone.
		maps.DeleteFunc(c.kept, func(_ string, k keptCertificate) bool { return k.err != nil })
	}
	if len(c.kept) >= maxCertificates {
		clear(c.kept)
	}
	c.kept[url] = k
}
