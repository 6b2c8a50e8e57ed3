package ingestion

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

const (
	certificateRefresh = 24 * time.Hour // after which a certificate is downloaded again
	certificateMaxAge  = 48 * time.Hour // after which a certificate is no longer used
	failureAge         = 10 * time.Second
	fetchTimeout       = 5 * time.Second
	maxCertificates    = 64
)

// Fetch downloads a page of at most some kilobytes.
type Fetch func(ctx context.Context, url string) (status int, body []byte, err error)

// certificates downloads and caches providers' certificates. It also caches failures, briefly.
// Unverified requests name the addresses, so downloads are bounded. A known certificate is
// refreshed in the background, outside these bounds.
type certificates struct {
	fetch Fetch // nil: nothing can be fetched
	now   clock.Now

	mu       sync.Mutex
	cached   map[string]cachedCertificate
	fetching map[string]fetching // by address
	bounds   fetchBounds
}

// cachedCertificate is the last result of downloading an address.
type cachedCertificate struct {
	host        string
	certificate *x509.Certificate // the last one downloaded, or nil
	fetchedAt   time.Time
	err         error     // of the last download
	until       time.Time // when it is downloaded again
}

// usable reports whether the certificate may be used to verify requests.
func (k cachedCertificate) usable(now time.Time) bool {
	return k.certificate != nil && now.Sub(k.fetchedAt) < certificateMaxAge
}

func (k cachedCertificate) answer(now time.Time) (*x509.Certificate, error) {
	if k.usable(now) {
		return k.certificate, nil
	}
	return nil, k.err
}

// fetching is a running download, and the budget and network that it is charged to.
type fetching struct {
	answered        chan struct{} // closed when the result is cached
	budget, network string        // "" for the refresh of a known certificate
}

func newCertificates(fetch Fetch, now clock.Now) *certificates {
	return &certificates{fetch: fetch, now: now, cached: map[string]cachedCertificate{}, fetching: map[string]fetching{}, bounds: newFetchBounds()}
}

// forClient returns the certificate lookup for a request from that client address.
func (c *certificates) forClient(ctx context.Context, ip string) func(url string) (*x509.Certificate, error) {
	if c.fetch == nil {
		return nil
	}
	return func(url string) (*x509.Certificate, error) { return c.get(ctx, httpapi.ClientNetwork(ip), url) }
}

// keySetFor returns the lookup of issuers' keys for a request to that source; nil for most.
func (m *Module) keySetFor(ctx context.Context, src *source) func(url, keyID string) ([]jose.JSONWebKey, error) {
	if m.d.KeySets == nil || !src.Spec.FetchesKeys {
		return nil
	}
	return func(url, keyID string) ([]jose.JSONWebKey, error) { return m.d.KeySets.Keys(ctx, url, keyID) }
}

func (c *certificates) get(ctx context.Context, network, url string) (*x509.Certificate, error) {
	now := c.now()
	k, answered, err := c.lookUp(ctx, network, url, now)
	switch {
	case err != nil:
		return nil, err
	case answered == nil:
		return k.answer(now)
	}
	defer c.leave(network)
	select {
	case <-answered:
	case <-ctx.Done():
		return nil, callerGone(ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.cached[url]; ok {
		return k.answer(now)
	}
	return nil, noCertificate(errors.New("it was evicted from the cache"))
}

// lookUp returns the cached result for url, or a channel that is closed when the download
// ends. In that case the caller counts as waiting until it calls leave.
func (c *certificates) lookUp(ctx context.Context, network, url string, now time.Time) (cachedCertificate, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, f := c.cached[url], c.fetching[url]
	switch due := !now.Before(k.until); {
	case k.usable(now):
		if due && f.answered == nil {
			c.startFetch(ctx, url, fetching{})
		}
		return k, nil, nil
	case !due:
		return k, nil, nil
	}
	if !c.bounds.enter(network) {
		return k, nil, certificatesBusy()
	}
	if f.answered == nil {
		f = fetching{budget: c.budgetOf(url), network: network}
		if !c.mayFetch(f, now) {
			c.bounds.leave(network)
			return k, nil, certificatesBusy()
		}
		f = c.startFetch(ctx, url, f)
	}
	return k, f.answered, nil
}

func certificatesBusy() error {
	return fault.Unavailable.New("certificates_busy",
		"The provider's certificate is not cached, and too many downloads are in progress.").After(failureAge)
}

func (c *certificates) leave(network string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bounds.leave(network)
}

// startFetch downloads a certificate for all requests that wait for it.
func (c *certificates) startFetch(ctx context.Context, url string, f fetching) fetching {
	f.answered = make(chan struct{})
	c.fetching[url] = f
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		certificate, err := c.download(ctx, url)
		c.store(url, certificate, err)
		close(f.answered)
	}()
	return f
}

// download fetches one certificate in PEM. No answer is an outage and not the sender's fault:
// the address is the provider's own. A 4xx answer means that the request was forged.
func (c *certificates) download(ctx context.Context, url string) (*x509.Certificate, error) {
	status, body, err := c.fetch(ctx, url)
	switch {
	case err == nil && status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return nil, provider.NoCertificate()
	case err == nil && status != http.StatusOK:
		err = fmt.Errorf("the answer was %d", status)
	}
	if err != nil {
		return nil, noCertificate(err)
	}
	block, _ := pem.Decode(body)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, noCertificate(fmt.Errorf("the answer's %d bytes are not a certificate", len(body)))
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, noCertificate(err)
	}
	return certificate, nil
}

func noCertificate(err error) error {
	return fault.Unavailable.Wrap(err, "certificate_unavailable", "The provider's certificate cannot be downloaded at the moment.").After(failureAge)
}

// store caches the result of a download. After an outage the previous certificate stays in
// use; it does not if the provider answers that there is none.
func (c *certificates) store(url string, certificate *x509.Certificate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fetching, url)
	now := c.now()
	k := cachedCertificate{host: hostOf(url), certificate: certificate, fetchedAt: now, until: now.Add(certificateRefresh)}
	if err != nil {
		before := c.cached[url]
		k = cachedCertificate{host: k.host, err: err, until: now.Add(failureAge)}
		if fault.Is(err, fault.Unavailable) {
			k.certificate, k.fetchedAt = before.certificate, before.fetchedAt
		}
	}
	if _, known := c.cached[url]; !known && len(c.cached) >= maxCertificates {
		c.evict()
	}
	c.cached[url] = k
}

// evict removes failures, or the oldest certificate if there are none, so that a flood of
// made-up addresses does not push out real certificates.
func (c *certificates) evict() {
	maps.DeleteFunc(c.cached, func(_ string, k cachedCertificate) bool { return k.certificate == nil })
	if len(c.cached) < maxCertificates {
		return
	}
	oldest := ""
	for url, k := range c.cached {
		if oldest == "" || k.fetchedAt.Before(c.cached[oldest].fetchedAt) {
			oldest = url
		}
	}
	delete(c.cached, oldest)
}
