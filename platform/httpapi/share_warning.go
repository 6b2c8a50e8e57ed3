package httpapi

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// shareWarningEvery is the shortest time between two warnings.
const shareWarningEvery = time.Hour

// shareWarning warns the operator if a client network has used its share and no proxy is
// trusted: it is probably a proxy, whose clients all have to share it.
type shareWarning struct {
	log      *slog.Logger
	now      clock.Now
	trusted  bool         // TRUSTED_PROXIES is set
	loggedAt atomic.Int64 // last warning, in nanoseconds since 1970; 0 for none
}

func (w *shareWarning) reached(network netip.Prefix, of string) {
	if w.trusted {
		return
	}
	now, told := w.now().UnixNano(), w.loggedAt.Load()
	if told != 0 && now-told < int64(shareWarningEvery) || !w.loggedAt.CompareAndSwap(told, now) {
		return
	}
	w.log.Warn("one client network has reached its share of "+of+", and TRUSTED_PROXIES is not set: it is probably a proxy, "+
		"whose clients then count as one; set TRUSTED_PROXIES to the proxy's addresses", "network", network.String(), "setting", "TRUSTED_PROXIES")
}
