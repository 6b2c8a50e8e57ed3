package access

import (
	"context"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// KeyID returns the id of a live key, for a session that is bound to it. It is
// fault.Unauthorized for any other text.
func (m *Module) KeyID(ctx context.Context, key string) (string, error) {
	if _, err := m.Authenticate(ctx, key); err != nil {
		return "", err
	}
	holders, err := m.holders(ctx)
	if err != nil {
		return "", unknownKeys(err)
	}
	if h, known := holders[hashOf(key)]; known {
		return h.id, nil
	}
	return "", httpapi.Refuse("wrong_key")
}

// CallerOf returns the holder of a key by the key's id, as long as the key lives: it is
// fault.Unauthorized once the key was revoked or has expired.
func (m *Module) CallerOf(ctx context.Context, keyID string) (httpapi.Caller, error) {
	holders, err := m.holders(ctx)
	if err != nil {
		return httpapi.Caller{}, unknownKeys(err)
	}
	now := m.d.Now()
	for _, h := range holders {
		if h.id == keyID && (h.expires == nil || h.expires.After(now)) {
			m.lastUses.add(h.id, now)
			return h.caller, nil
		}
	}
	return httpapi.Caller{}, httpapi.Refuse("wrong_key")
}

func unknownKeys(err error) *fault.Error {
	return fault.Unavailable.Wrap(err, "keys_unknown", "The keys cannot be looked up right now.").After(time.Second)
}
