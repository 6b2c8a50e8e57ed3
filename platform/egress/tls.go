package egress

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
)

// TLS holds a destination's own TLS settings. Whatever they are, the server's certificate
// is verified.
type TLS struct {
	ID          string           // equal for equal content
	RootCAs     *x509.CertPool   // replaces Config.RootCAs; nil: keeps them
	Certificate *tls.Certificate // presented to a server that requests one; nil: none
}

// maxTransports limits the TLS configurations with open connections.
const maxTransports = 256

// transportCache holds one transport per TLS configuration, so that connections are reused,
// but never across configurations. Above the limit, the least recently used one is evicted.
type transportCache struct {
	mu   sync.Mutex
	byID map[string]*list.Element
	lru  *list.List // of *cachedTransport
}

type cachedTransport struct {
	id string
	*http.Transport
}

func newTransportCache() *transportCache {
	return &transportCache{byID: map[string]*list.Element{}, lru: list.New()}
}

// closeIdle closes idle connections.
func (t *transportCache) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.byID {
		transportOf(e).CloseIdleConnections()
	}
}

func (t *transportCache) get(id string, fresh func() *http.Transport) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.byID[id]; ok {
		t.lru.MoveToFront(e)
		return transportOf(e)
	}
	for t.lru.Len() >= maxTransports {
		t.drop(t.lru.Back())
	}
	made := fresh()
	t.byID[id] = t.lru.PushFront(&cachedTransport{id, made})
	return made
}

func transportOf(e *list.Element) *http.Transport { return e.Value.(*cachedTransport).Transport }

func (t *transportCache) drop(e *list.Element) {
	own := t.lru.Remove(e).(*cachedTransport)
	delete(t.byID, own.id)
	own.CloseIdleConnections()
}

func (t *transportCache) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.byID[id]; ok {
		t.drop(e)
	}
}

func (t *transportCache) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.lru.Front(); e != nil; e = e.Next() {
		transportOf(e).CloseIdleConnections()
	}
}

// transportFor returns the transport for requests with own.
func (c *Client) transportFor(own *TLS) *http.Transport {
	if own == nil {
		return c.transport
	}
	return c.transports.get(own.ID, func() *http.Transport {
		t := c.newTransport()
		if own.RootCAs != nil {
			t.TLSClientConfig.RootCAs = own.RootCAs
		}
		if own.Certificate != nil {
			t.TLSClientConfig.Certificates = []tls.Certificate{*own.Certificate}
		}
		return t
	})
}

// Forget closes the connections of a TLS configuration that is no longer used.
func (c *Client) Forget(own *TLS) {
	if own != nil {
		c.transports.forget(own.ID)
	}
}
