package ingestion

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

const selectReceivedSQL = `
SELECT k.idempotency_key, e.received_at
FROM   idempotency_keys k
JOIN   v ON v.idempotency_key = k.idempotency_key
JOIN   normalized_events e ON e.id = k.event_id`

// inWindow bounds how long the webhook's keys that are made from its body hold: they get the
// number of the window in which it was received. A body that was stored in the window before,
// and not longer ago than a window lasts, gives its event the earlier key. So the same body
// is the same event exactly until a window has passed since it was stored.
func (m *Module) inWindow(ctx context.Context, w verifiedWebhook) error {
	window := w.source.Spec.Deduplication.Window()
	if window <= 0 {
		return nil
	}
	number := w.receivedAt.UnixMicro() / window.Microseconds()
	earlier := map[string]*draft{}
	rows := database.NewRows("idempotency_key text")
	for i := range w.events {
		e := &w.events[i]
		if !strings.HasPrefix(e.key, w.source.Name+":"+payloadKey) {
			continue
		}
		before := e.key + windowMark + strconv.FormatInt(number-1, 10)
		earlier[before] = e
		rows.Add(before)
		e.key += windowMark + strconv.FormatInt(number, 10)
	}
	if rows.Len() == 0 {
		return nil
	}
	var found []struct {
		Key        string    `db:"idempotency_key"`
		ReceivedAt time.Time `db:"received_at"`
	}
	if err := m.d.DB.SelectRows(ctx, &found, rows, selectReceivedSQL); err != nil {
		return fmt.Errorf("look up what was received before: %w", err)
	}
	for _, f := range found {
		if w.receivedAt.Sub(f.ReceivedAt) < window {
			earlier[f.Key].key = f.Key
		}
	}
	return nil
}

// windowMark is what comes before the number of a window in a key.
const windowMark = ":w"

// withoutWindow returns an event's key as it was before inWindow.
func (w verifiedWebhook) withoutWindow(key string) string {
	if w.source.Spec.Deduplication.Window() <= 0 || !strings.HasPrefix(key, w.source.Name+":"+payloadKey) {
		return key
	}
	before, _, _ := strings.Cut(key, windowMark) // neither a source's name nor a hash has one
	return before
}

// singleUseTTL is how long a single-use proof is remembered if the scheme has no tolerance.
const singleUseTTL = 24 * time.Hour

// singleUseWait is when a provider may try again while the cache is unavailable.
const singleUseWait = 10 * time.Second

// checkSingleUse refuses a single-use proof that was seen with another body. The provider's
// retry, with the same body, passes. So does everything while the cache is unavailable:
// losing an event is worse. Only where a definition says that the value is a nonce, the
// provider is asked to try again later.
func (m *Module) checkSingleUse(ctx context.Context, src *source, match provider.Match, body []byte) error {
	if match.SingleUse == "" {
		return nil
	}
	ttl := singleUseTTL
	if src.Spec.Tolerance > 0 {
		ttl = 2 * src.Spec.Tolerance // either way
	}
	ctx, cancel := context.WithTimeout(ctx, limitTimeout)
	defer cancel()
	claim := cache.Claim{Key: "once:" + src.Name + ":" + hash([]byte(match.SingleUse)), Value: hash(body), TTL: ttl}
	claimed, err := m.d.Cache.Claim(ctx, []cache.Claim{claim})
	if match.Nonce && (err != nil || len(claimed) != 1) {
		return fault.Unavailable.Wrap(err, "nonce_unknown", "Whether the request's nonce was used before cannot be found out at the moment.").After(singleUseWait)
	}
	if err != nil || len(claimed) != 1 || claimed[0].Won || claimed[0].Value == claim.Value {
		return nil //nolint:nilerr // see above
	}
	return provider.Reused()
}
