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

// behaviour is how the receiver treats the first delivery of every so manyth event.
type behaviour struct {
	every    int
	delivers bool // the answer says that the event was taken
	forGood  bool // it says that the event must not come again
	again    time.Duration
	answer   func(http.ResponseWriter, *http.Request)

	mu      sync.Mutex
	treated map[string]time.Time
	early   []string // came again before they should
}

// treat answers in the behaviour's way and reports true, or leaves the delivery to the
// ordinary one.
func (b *behaviour) treat(w http.ResponseWriter, req *http.Request, l *ledger, external, webhookID string) bool {
	n, _ := strconv.Atoi(external[strings.LastIndexByte(external, '-')+1:])
	if n%b.every != 0 {
		return false
	}
	b.mu.Lock()
	first, again := b.treated[external]
	if !again {
		b.treated[external] = clock.System()
	} else if clock.Now(clock.System).Since(first) < b.again {
		b.early = append(b.early, external)
	}
	b.mu.Unlock()
	if again && !b.forGood && !b.delivers {
		return false
	}
	l.took(external, webhookID, b.delivers, b.forGood)
	b.answer(w, req)
	return true
}

// endless bounds what never ends by itself: longer than the gateway may wait.
const endless = 20 * time.Second

func hang(_ http.ResponseWriter, req *http.Request) {
	_ = lasting(req.Context(), endless)
}

func drip(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), endless)
	defer cancel()
	for lasting(ctx, 100*time.Millisecond) == nil {
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

// unstorable is what no text column takes.
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

// callbackScenarios are what destinations do to the gateway.
func callbackScenarios(embedded bool) []scenario {
	build := func(name, about string, b func() *behaviour) scenario {
		s := scenario{name: "callback-" + name, about: about, embedded: embedded, callback: b, inject: watch}
		if embedded {
			s.name = "embedded-" + s.name
		}
		return s
	}
	list := []scenario{
		build("hangs", "the destination never answers every 20th delivery", func() *behaviour {
			return &behaviour{every: 20, answer: hang}
		}),
		build("drips", "it answers 200 to every 20th, and a byte each 100 ms for ever", func() *behaviour {
			return &behaviour{every: 20, delivers: true, answer: drip}
		}),
		build("floods", "it answers every 100th with 100 MB", func() *behaviour {
			return &behaviour{every: 100, delivers: true, answer: flood}
		}),
		build("nuls", "it answers every 5th with 500 and bytes that no text column takes", func() *behaviour {
			return &behaviour{every: 5, answer: status(http.StatusInternalServerError, "", "")}
		}),
		build("nuls-ok", "it answers every 5th with 200 and bytes that no text column takes", func() *behaviour {
			return &behaviour{every: 5, delivers: true, answer: status(http.StatusOK, "", "")}
		}),
		build("redirects", "it redirects every 5th; nothing may arrive where that points", func() *behaviour {
			return &behaviour{every: 5, answer: status(http.StatusFound, "Location", "/elsewhere")}
		}),
		build("gone", "it answers every 5th with 410, which ends the event at once", func() *behaviour {
			return &behaviour{every: 5, forGood: true, answer: status(http.StatusGone, "", "")}
		}),
		build("busy", "it answers every 5th with 429 and Retry-After: 2, before which it may not come again", func() *behaviour {
			return &behaviour{every: 5, again: 2 * time.Second, answer: status(http.StatusTooManyRequests, "Retry-After", "2")}
		}),
	}
	list[6].short = !embedded
	down := build("down", "it answers everything with 503 for five seconds", nil)
	down.inject = receiverDown
	down.silence = 15 * time.Second // a breaker may have opened; its next probe ends it
	return append(list, down)
}

func watch(ctx context.Context, r *run) error {
	r.away()
	r.back()
	return lasting(ctx, 3*time.Second)
}

func receiverDown(ctx context.Context, r *run) error {
	r.away()
	r.receiver.setDown(true)
	defer r.back()
	defer r.receiver.setDown(false)
	return lasting(ctx, 5*time.Second)
}

// complaints are what contradicts the behaviour.
func (b *behaviour) complaints(misled int) (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.treated) == 0 {
		list = append(list, "no delivery was treated in the scenario's way")
	}
	if len(b.early) > 0 {
		list = append(list, fmt.Sprintf("%d deliveries came again too early, such as %s", len(b.early), b.early[0]))
	}
	if misled > 0 {
		list = append(list, fmt.Sprintf("%d requests followed a redirect", misled))
	}
	return list
}
