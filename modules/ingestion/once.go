package ingestion

import (
	"context"
	"time"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/cache"
)

// onceTime is how long what is good for one request is remembered where the scheme's
// tolerance does not say.
const onceTime = 24 * time.Hour

// once refuses a proof that is good for one request alone when it comes with another
// body. The provider's repeat, with the same body, passes; so does everything while the
// cache is away: losing an event is worse.
func (m *Module) once(ctx context.Context, src *source, match provider.Match, body []byte) error {
	if match.Once == "" {
		return nil
	}
	ttl := onceTime
	if src.spec.Tolerance > 0 {
		ttl = 2 * src.spec.Tolerance // either way
	}
	ctx, cancel := context.WithTimeout(ctx, limitPatience)
	defer cancel()
	claim := cache.Claim{Key: "once:" + src.name + ":" + hash([]byte(match.Once)), Value: hash(body), TTL: ttl}
	claimed, err := m.d.Cache.Claim(ctx, []cache.Claim{claim})
	if err != nil || len(claimed) != 1 || claimed[0].Won || claimed[0].Value == claim.Value {
		return nil //nolint:nilerr // see above
	}
	return provider.Reused()
}
