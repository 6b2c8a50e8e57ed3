package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"

	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// maxWaiting is how many messages wait for one browser. What exceeds them is not sent: the browser
// is told that there was more, and reads its page again.
const maxWaiting = 50

// feeds read the API's event stream once for all browsers whose visitors see the same sources, so
// that twenty consoles cost what one costs.
type feeds struct {
	mu      sync.Mutex
	byScope map[string]*feed
}

// feed is one reading; feeds.mu guards it.
type feed struct {
	listeners map[*listener]bool
	stop      context.CancelFunc
}

// listener is a browser's part of a feed.
type listener struct {
	wake    chan struct{} // holds one
	waiting []string      // messages as the browser gets them
	more    bool          // some were left out
	over    bool          // the feed has ended
	err     error         // why it did; nil if the gateway stops
}

// perSecond is what a feed asks the stream for: more than anyone reads, and little beside what a
// gateway under load takes in.
const perSecond = "20"

// errFeedEnded says that the API ended a stream.
var errFeedEnded = errors.New("the stream has ended")

// listen joins the feed of what a visitor sees, which begins with the first listener and ends with
// the last.
func (m *Module) listen(v *visit) (l *listener, leave func()) {
	l = &listener{wake: make(chan struct{}, 1)}
	scope := scopeKey(v.caller.Scope)
	m.feeds.mu.Lock()
	defer m.feeds.mu.Unlock()
	f := m.feeds.byScope[scope]
	if f == nil {
		ctx, stop := context.WithCancel(context.WithoutCancel(v.ctx))
		f = &feed{listeners: map[*listener]bool{}, stop: stop}
		if m.feeds.byScope == nil {
			m.feeds.byScope = map[string]*feed{}
		}
		m.feeds.byScope[scope] = f
		own := httpapi.Caller{Actor: "console", Role: httpapi.Viewer, Scope: v.caller.Scope} // each listener checks its own session
		go m.read(httpapi.WithCaller(ctx, own), v.api, scope, f)
	}
	f.listeners[l] = true
	return l, func() { m.leaveFeed(scope, f, l) }
}

func (m *Module) leaveFeed(scope string, f *feed, l *listener) {
	m.feeds.mu.Lock()
	defer m.feeds.mu.Unlock()
	delete(f.listeners, l)
	if len(f.listeners) == 0 {
		f.stop()
		if m.feeds.byScope[scope] == f {
			delete(m.feeds.byScope, scope)
		}
	}
}

// scopeKey is the same for visitors who see the same sources.
func scopeKey(s *httpapi.Scope) string {
	if s == nil {
		return "*"
	}
	return "=" + strings.Join(slices.Sorted(slices.Values(s.Sources)), "\n")
}

// read passes what happens to the listeners of a feed. When it falls behind it goes on with what
// happens then, rather than to read again what nobody has seen.
func (m *Module) read(ctx context.Context, api *client.Client, scope string, f *feed) {
	var err error
	for {
		behind := false
		err = api.Stream(ctx, "/events/stream", url.Values{"perSecond": {perSecond}}, "", func(msg client.Message) error {
			switch msg.Event {
			case "end":
				behind = strings.Contains(string(msg.Data), `"behind"`)
				return errFeedEnded
			case "more":
				m.pass(f, "")
			default:
				m.pass(f, lineOf(msg))
			}
			return ctx.Err()
		}, func(error) {})
		if !behind || !clock.Sleep(ctx, collectFor) {
			break
		}
		m.pass(f, "")
	}
	if errors.Is(err, errFeedEnded) {
		err = nil
	}
	m.feeds.mu.Lock()
	defer m.feeds.mu.Unlock()
	if m.feeds.byScope[scope] == f { // who comes now begins another
		delete(m.feeds.byScope, scope)
	}
	for l := range f.listeners {
		l.over, l.err = true, err
		l.notify()
	}
}

// pass gives a message to each listener of a feed; "" says that there were more.
func (m *Module) pass(f *feed, line string) {
	m.feeds.mu.Lock()
	defer m.feeds.mu.Unlock()
	for l := range f.listeners {
		if line == "" || len(l.waiting) >= maxWaiting {
			l.more = true
		} else {
			l.waiting = append(l.waiting, line)
		}
		l.notify()
	}
}

func (l *listener) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns what waits for a listener, and whether the feed has ended.
func (m *Module) take(l *listener) (text string, over bool, err error) {
	m.feeds.mu.Lock()
	defer m.feeds.mu.Unlock()
	text = strings.Join(l.waiting, "")
	if l.more {
		text += "event: more\ndata: {}\n\n"
	}
	l.waiting, l.more = l.waiting[:0], false
	return text, l.over, l.err
}

// streamed is what the stream says of something that happened: enough to tell whether a page
// shows it. The page itself is then read again.
type streamed struct {
	Source    string `json:"source"`
	EventID   string `json:"id,omitempty"`
	Provider  string `json:"provider,omitempty"`
	EventType string `json:"eventType,omitempty"`
	Status    string `json:"status,omitempty"`
}

// lineOf is a message as the browser gets it.
func lineOf(msg client.Message) string {
	var said struct {
		Source string `json:"source"`
		Event  *struct {
			ID, Provider, EventType, Status string
		} `json:"event"`
	}
	if json.Unmarshal(msg.Data, &said) != nil {
		return ": skipped\n\n"
	}
	short := streamed{Source: said.Source}
	if said.Event != nil {
		short.EventID, short.Provider, short.EventType, short.Status = said.Event.ID, said.Event.Provider, said.Event.EventType, said.Event.Status
	}
	text, _ := json.Marshal(short) // strings always marshal
	return "event: " + msg.Event + "\ndata: " + string(text) + "\n\n"
}
