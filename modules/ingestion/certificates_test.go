package ingestion

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// forgedPayPal is a request that holds all that PayPal's do, and is not PayPal's.
func forgedPayPal(certificate string, at time.Time) *http.Request {
	r := request("paypal-source", `{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}`)
	r.Header.Set("Paypal-Transmission-Id", "1")
	r.Header.Set("Paypal-Transmission-Time", at.UTC().Format(time.RFC3339))
	r.Header.Set("Paypal-Transmission-Sig", base64.StdEncoding.EncodeToString(make([]byte, 256)))
	r.Header.Set("Paypal-Cert-Url", "https://api.paypal.com/v1/notifications/certs/"+certificate)
	r.Header.Set("Paypal-Auth-Algo", "SHA256withRSA")
	return r
}

// Each forged request made the gateway ask PayPal for another certificate.
func TestForgedRequestsCauseFewCertificateDownloads(t *testing.T) {
	now, asked := newFakeClock(), 0
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) {
		d.Now = now.now
		d.Fetch = func(context.Context, string) (int, []byte, error) {
			asked++
			return http.StatusNotFound, nil, nil
		}
	})
	g.addProvider("paypal", secret.New("1JE4291016473214C"))
	statuses := map[int]int{}
	for i := range 100 {
		statuses[g.do(forgedPayPal(fmt.Sprint("CERT-", i), now.now())).Status]++
	}
	require.Equal(t, fetchesPerNetwork, asked)
	require.Equal(t, map[int]int{http.StatusUnauthorized: fetchesPerNetwork, http.StatusServiceUnavailable: 100 - fetchesPerNetwork}, statuses)

	for i := range 100 {
		r := forgedPayPal(fmt.Sprint("CERT-other-", i), now.now())
		r.RemoteAddr = fmt.Sprintf("198.51.%d.1:9", i)
		g.do(r)
	}
	require.Equal(t, fetchesPerMinute, asked, "from however many networks")
	for range 100 {
		require.Equal(t, http.StatusUnauthorized, g.do(forgedPayPal("CERT-0", now.now())).Status, "that there is none is remembered")
	}
	require.Equal(t, fetchesPerMinute, asked)

	now.pass(time.Minute)
	for name, r := range map[string]*http.Request{
		"a time outside the tolerance": forgedPayPal("CERT-late", now.now().Add(-5*24*time.Hour)),
		"another site":                 forgedPayPal("../../../../evil", now.now()),
		"an endless name":              forgedPayPal(strings.Repeat("A", 65), now.now()),
	} {
		require.Equal(t, http.StatusUnauthorized, g.do(r).Status, name)
	}
	short := forgedPayPal("CERT-short", now.now())
	short.Header.Set("Paypal-Transmission-Sig", "AAAA")
	require.Equal(t, http.StatusUnauthorized, g.do(short).Status)
	require.Equal(t, fetchesPerMinute, asked, "the cheap checks come first")
	g.do(forgedPayPal("CERT-new", now.now()))
	require.Equal(t, fetchesPerMinute+1, asked, "a new minute")
}

// hung is a provider that does not answer until it may.
type hung struct {
	mu      sync.Mutex
	asked   []string
	arrived chan struct{}
	answer  chan struct{}
}

func (h *hung) fetch(_ context.Context, url string) (int, []byte, error) {
	h.mu.Lock()
	h.asked = append(h.asked, url)
	h.mu.Unlock()
	h.arrived <- struct{}{}
	<-h.answer
	return http.StatusNotFound, nil, nil
}

func (h *hung) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.asked)
}

func TestAHangingProviderBlocksFewRequests(t *testing.T) {
	h := &hung{arrived: make(chan struct{}, fetchesPerMinute), answer: make(chan struct{})}
	c := newCertificates(h.fetch, clock.System)
	busy := func(network, url string) {
		t.Helper()
		_, err := c.get(t.Context(), network, url)
		require.Equal(t, "certificates_busy", fault.As(err).Reason)
		require.True(t, fault.Is(err, fault.Unavailable), "the provider tries again")
	}
	var waiters sync.WaitGroup
	wait := func(network, url string) {
		waiters.Go(func() {
			_, err := c.get(t.Context(), network, url)
			require.Equal(t, string(provider.UnknownKey), fault.As(err).Reason)
		})
	}
	for i := range fetchesAtOnceOwn {
		wait("a", strconv.Itoa(i))
		<-h.arrived
	}
	busy("a", "one too many of its network")
	for i := fetchesAtOnceOwn; i < fetchesAtOnce; i++ {
		wait("b", strconv.Itoa(i))
		<-h.arrived
	}
	busy("c", "one too many at once")
	for range maxWaitersOfClient - fetchesAtOnceOwn {
		wait("a", "0")
	}
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.bounds.waiting == n
		}, 10*time.Second, time.Millisecond)
	}
	waiting(maxWaitersOfClient + fetchesAtOnce - fetchesAtOnceOwn)
	busy("a", "0") // its network has its share of those who wait
	for i := range maxFetchWaiters - maxWaitersOfClient - (fetchesAtOnce - fetchesAtOnceOwn) {
		wait(fmt.Sprint("d", i/maxWaitersOfClient), "0")
	}
	waiting(maxFetchWaiters)
	busy("e", "0") // no more wait
	gone, leave := context.WithCancel(t.Context())
	leave()
	close(h.answer)
	waiters.Wait()
	require.Len(t, h.asked, fetchesAtOnce, "all who wait for one share its answer")
	require.Zero(t, c.bounds.waiting)
	require.Empty(t, c.bounds.waiters)
	h.answer = make(chan struct{})
	_, err := c.get(gone, "gone", "for who has left")
	require.Equal(t, "caller_gone", fault.As(err).Reason)
	close(h.answer)
}

// One stranger spent all fetches of each minute, and a genuine new certificate was never
// fetched: from five addresses, which one network has, or by names of hosts that are none.
func TestForgedRequestsCannotBlockTheDownloadOfAGenuineCertificate(t *testing.T) {
	const sns, paypal = "https://sns.eu-central-1.amazonaws.com/", "https://api.paypal.com/v1/notifications/certs/"
	genuine, now := newAmazon(t), newFakeClock()
	var mu sync.Mutex
	asked := 0
	c := newCertificates(func(_ context.Context, url string) (int, []byte, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if strings.Contains(url, "genuine") {
			return http.StatusOK, genuine.page, nil
		}
		return http.StatusNotFound, nil, nil
	}, now.now)
	ask := func(ip, url string) error {
		_, err := c.forClient(t.Context(), ip)(url)
		return err
	}
	for i := range 256 {
		require.Error(t, ask(fmt.Sprint("192.0.2.", i), fmt.Sprint(paypal, i)))
	}
	require.Equal(t, fetchesPerNetwork, asked, "its addresses are one network")
	require.NoError(t, ask("198.51.100.1", sns+"genuine-1"))
	require.Equal(t, fetchesPerNetwork+1, asked)

	for i := range 256 {
		require.Error(t, ask(fmt.Sprintf("10.0.%d.1", i), fmt.Sprintf("https://sns.xx-%c-1.amazonaws.com/%d", 'a'+i%26, i)))
	}
	require.Equal(t, fetchesPerMinute, asked, "made-up hosts share one budget")
	require.NoError(t, ask("198.51.100.1", sns+"genuine-2"), "a host that has given one has its own")
	for i := range 256 {
		require.Error(t, ask(fmt.Sprintf("10.1.%d.1", i%2), fmt.Sprint(sns, i)))
	}
	require.NoError(t, ask("203.0.113.1", sns+"genuine-3"), "of which two networks have no more than their shares")
	require.LessOrEqual(t, len(c.bounds.own), 2*fetchesPerMinute, "what is remembered of networks is bounded")
	require.LessOrEqual(t, len(c.cached), maxCertificates)
}

// While the bounds were exhausted, a certificate that was had a day before was not asked for
// again; while its provider did not answer, its webhooks waited and failed.
func TestAKnownCertificateIsNotBounded(t *testing.T) {
	aws, now := newAmazon(t), newFakeClock()
	h := &hung{arrived: make(chan struct{}, 2*fetchesPerMinute), answer: make(chan struct{})}
	var hanging atomic.Bool
	c := newCertificates(func(ctx context.Context, url string) (int, []byte, error) {
		if hanging.Load() {
			return h.fetch(ctx, url)
		}
		return aws.fetch(ctx, url)
	}, now.now)
	get := func(url string) error {
		_, err := c.get(t.Context(), "a", url)
		return err
	}
	require.NoError(t, get("real"))
	hanging.Store(true)
	now.pass(certificateRefresh)
	for i := range fetchesAtOnceOwn {
		go func() { _ = get(strconv.Itoa(i)) }()
		<-h.arrived
	}
	require.Error(t, get("another"), "its network has as many under way as it may")
	require.NoError(t, get("real"), "nobody waits for it")
	<-h.arrived
	require.NoError(t, get("real"))
	require.Equal(t, fetchesAtOnceOwn+1, h.count(), "it is asked for again once")

	settled := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.fetching) == 0
	}
	close(h.answer)
	require.Eventually(t, settled, 10*time.Second, time.Millisecond)
	require.Equal(t, string(provider.UnknownKey), fault.As(get("real")).Reason, "its provider says that there is none any more")

	hanging.Store(false)
	now.pass(failureAge)
	require.NoError(t, get("real"))
	asked := len(aws.opened)
	aws.status = http.StatusBadGateway
	now.pass(certificateRefresh)
	for _, status := range []int{http.StatusTooManyRequests, http.StatusOK} {
		require.NoError(t, get("real"))
		require.Eventually(t, settled, 10*time.Second, time.Millisecond)
		require.NoError(t, get("real"), "its provider cannot be asked")
		aws.status = status
		now.pass(failureAge)
	}
	require.Len(t, aws.opened, asked+2)
	aws.status = http.StatusBadGateway
	now.pass(certificateMaxAge - certificateRefresh - 2*failureAge)
	require.Equal(t, "certificate_unavailable", fault.As(get("real")).Reason, "two days are the most")
	aws.status = http.StatusOK
	now.pass(failureAge)
	require.NoError(t, get("real"))
}

func TestAFloodOfMadeUpAddressesDoesNotEvictRealCertificates(t *testing.T) {
	aws, now := newAmazon(t), newFakeClock()
	c := newCertificates(aws.fetch, now.now)
	_, err := c.get(t.Context(), "a", "real")
	require.NoError(t, err)
	aws.status = http.StatusNotFound
	for i := range 3 * maxCertificates {
		_, err := c.get(t.Context(), strconv.Itoa(i), strconv.Itoa(i))
		require.Error(t, err)
		require.LessOrEqual(t, len(c.cached), maxCertificates)
		if i%fetchesPerMinute == 0 {
			now.pass(time.Minute)
		}
	}
	asked := len(aws.opened)
	_, err = c.get(t.Context(), "a", "real")
	require.NoError(t, err)
	require.Len(t, aws.opened, asked, "it is still there")

	aws.status = http.StatusOK
	for i := range maxCertificates {
		now.pass(time.Minute)
		_, err := c.get(t.Context(), "b", "also real "+strconv.Itoa(i))
		require.NoError(t, err)
	}
	require.Len(t, c.cached, maxCertificates)
	require.NotContains(t, c.cached, "real", "the first makes room, and not all")
}
