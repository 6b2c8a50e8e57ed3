package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// behaviour is how the receiver responds to the first delivery of every n-th event.
type behaviour struct {
	every      int
	delivers   bool // the response accepts the event
	final      bool // the response refuses the event for good
	retryAfter time.Duration
	answer     func(http.ResponseWriter, *http.Request)

	mu    sync.Mutex
	seen  map[string]time.Time
	early []string // redelivered too early
}

// apply responds in the behaviour's way and reports true, or leaves the delivery to the
// ordinary handler.
func (b *behaviour) apply(w http.ResponseWriter, req *http.Request, l *ledger, external string, d delivery) bool {
	n, _ := strconv.Atoi(external[strings.LastIndexByte(external, '-')+1:])
	if n%b.every != 0 {
		return false
	}
	b.mu.Lock()
	first, again := b.seen[external]
	if !again {
		b.seen[external] = clock.System()
	} else if clock.Now(clock.System).Since(first) < b.retryAfter {
		b.early = append(b.early, external)
	}
	b.mu.Unlock()
	if again && !b.final && !b.delivers {
		return false
	}
	l.recordDelivery(external, d, b.delivers, b.final)
	b.answer(w, req)
	return true
}

// shortTimeout shortens attempts, so that a hanging one ends soon.
var shortTimeout = []string{"DELIVERY_TIMEOUT_MS=2000"}

// maxHang limits what never ends by itself: longer than the gateway may wait.
const maxHang = 20 * time.Second

func hang(_ http.ResponseWriter, req *http.Request) {
	_ = sustain(req.Context(), maxHang)
}

func drip(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), maxHang)
	defer cancel()
	for sustain(ctx, 100*time.Millisecond) == nil {
		if _, err := w.Write([]byte(".")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

func flood(w http.ResponseWriter, _ *http.Request) {
	part := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for range 100 << 20 / len(part) {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

// unstorable is text that no text column accepts.
var unstorable = []byte("a\x00b\xff\xfe \xed\xa0\x80 \\u0000")

func status(code int, header, value string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(code)
		_, _ = w.Write(unstorable)
	}
}

// callbackScenarios are the faults of destinations.
func callbackScenarios(embedded bool) []scenario {
	build := func(name, about string, b func() *behaviour) scenario {
		s := scenario{name: "callback-" + name, about: about, embedded: embedded, callback: b, inject: watch,
			target: ofDestination, env: shortTimeout}
		if embedded {
			s.name = "embedded-" + s.name
		}
		return s
	}
	list := []scenario{
		build("hangs", "the destination never answers every 20th delivery", func() *behaviour {
			return &behaviour{every: 20, answer: hang}
		}),
		build("drips", "it answers every 20th with 200, and a byte per 100 ms for ever", func() *behaviour {
			return &behaviour{every: 20, delivers: true, answer: drip}
		}),
		build("floods", "it answers every 100th with 100 MB", func() *behaviour {
			return &behaviour{every: 100, delivers: true, answer: flood}
		}),
		build("nuls", "it answers every 5th with 500 and bytes that no text column accepts", func() *behaviour {
			return &behaviour{every: 5, answer: status(http.StatusInternalServerError, "", "")}
		}),
		build("nuls-ok", "it answers every 5th with 200 and bytes that no text column accepts", func() *behaviour {
			return &behaviour{every: 5, delivers: true, answer: status(http.StatusOK, "", "")}
		}),
		build("redirects", "it redirects every 5th; nothing may follow the redirect", func() *behaviour {
			return &behaviour{every: 5, answer: status(http.StatusFound, "Location", "/elsewhere")}
		}),
		build("gone", "it answers every 5th with 410, which ends the event immediately", func() *behaviour {
			return &behaviour{every: 5, final: true, answer: status(http.StatusGone, "", "")}
		}),
		build("busy", "it answers every 5th with 429 and Retry-After: 2, before which it must not be retried", func() *behaviour {
			return &behaviour{every: 5, retryAfter: 2 * time.Second, answer: status(http.StatusTooManyRequests, "Retry-After", "2")}
		}),
	}
	list[6].short = !embedded
	down := build("down", "it answers everything with 503 for five seconds", nil)
	down.inject = receiverDown
	down.silence = 15 * time.Second // a breaker may have opened; its next probe closes it
	return append(list, down)
}

func watch(ctx context.Context, r *run) error {
	r.faultBegan()
	r.faultEnded()
	return sustain(ctx, 3*time.Second)
}

func receiverDown(ctx context.Context, r *run) error {
	r.faultBegan()
	r.receiver.setDown(true)
	defer r.faultEnded()
	defer r.receiver.setDown(false)
	return sustain(ctx, 5*time.Second)
}

// violations lists what contradicts the behaviour.
func (b *behaviour) violations(misled int) (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		list = append(list, "no delivery got the scenario's response")
	}
	if len(b.early) > 0 {
		list = append(list, fmt.Sprintf("%d deliveries were retried too early, such as %s", len(b.early), b.early[0]))
	}
	if misled > 0 {
		list = append(list, fmt.Sprintf("%d requests followed a redirect", misled))
	}
	return list
}
