package console

import (
	"sync"
	"time"
)

const linkFor = 5 * time.Minute

// links are the tokens of addresses that sign in once, until they end. They are in memory:
// `gateway dev` is one process.
type links struct {
	mu    sync.Mutex
	until map[string]time.Time // by the token's hash
}

// Link returns the path of a page that signs in once, within five minutes, as the configured
// key.
func (m *Module) Link() string {
	token := newToken()[:22] // 132 bits, so that the address fits a line of a terminal
	m.links.mu.Lock()
	defer m.links.mu.Unlock()
	if m.links.until == nil {
		m.links.until = map[string]time.Time{}
	}
	m.links.until[hashOf(token)] = m.d.Now().Add(linkFor)
	return Root + "/sign-in?once=" + token
}

// take reports whether a link's token is good, which it then is no more.
func (l *links) take(token string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.until[hashOf(token)]
	delete(l.until, hashOf(token))
	return known && now.Before(until)
}
