package egress

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
)

// TLS is what one destination asks for beside the usual. Whatever it holds, the server's
// certificate is verified.
type TLS struct {
	ID          string           // the same for the same content
	RootCAs     *x509.CertPool   // in place of Config.RootCAs; nil: these
	Certificate *tls.Certificate // shown to a server that asks for one; nil: none
}

// maxTransports bounds the TLS configurations of which connections are kept.
const maxTransports = 256

// transports keeps one for each TLS configuration, so that connections are used again and
// none is by another configuration. Beyond the bound the one goes that was not used for
// the longest time.
type transports struct {
	mu     sync.Mutex
	of     map[string]*list.Element
	newest *list.List // of *ownTransport
}

type ownTransport struct {
	id string
	*http.Transport
}

func newTransports() *transports {
	return &transports{of: map[string]*list.Element{}, newest: list.New()}
}

func (t *transports) get(id string, fresh func() *http.Transport) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.of[id]; ok {
		t.newest.MoveToFront(e)
		return transportOf(e)
	}
	for t.newest.Len() >= maxTransports {
		t.drop(t.newest.Back())
	}
	made := fresh()
	t.of[id] = t.newest.PushFront(&ownTransport{id, made})
	return made
}

func transportOf(e *list.Element) *http.Transport { return e.Value.(*ownTransport).Transport }

func (t *transports) drop(e *list.Element) {
	own := t.newest.Remove(e).(*ownTransport)
	delete(t.of, own.id)
	own.CloseIdleConnections()
}

func (t *transports) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.of[id]; ok {
		t.drop(e)
	}
}

func (t *transports) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.newest.Front(); e != nil; e = e.Next() {
		transportOf(e).CloseIdleConnections()
	}
}

// by is the transport for requests under own.
func (c *Client) by(own *TLS) *http.Transport {
	if own == nil {
		return c.transport
	}
	return c.own.get(own.ID, func() *http.Transport {
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

// Forget ends the connections under a TLS configuration that is used no more.
func (c *Client) Forget(own *TLS) {
	if own != nil {
		c.own.forget(own.ID)
	}
}
