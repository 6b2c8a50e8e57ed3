package ingestion

import (
	"context"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/provider"
)

// singleUseTTL is how long a single-use proof is remembered if the scheme has no tolerance.
const singleUseTTL = 24 * time.Hour

// checkSingleUse refuses a single-use proof that was seen with another body. The provider's
// retry, with the same body, passes. So does everything while the cache is unavailable:
// losing an event is worse.
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
	if err != nil || len(claimed) != 1 || claimed[0].Won || claimed[0].Value == claim.Value {
		return nil //nolint:nilerr // see above
	}
	return provider.Reused()
}
