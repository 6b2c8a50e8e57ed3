package keyring

import (
	"encoding/json"
	"fmt"

	"integration-gateway/platform/secret"
)

// AuditKey is the audit trail's seal key that belongs to a key of the ring.
type AuditKey struct {
	ID  string
	Key []byte
}

// AuditKeys returns one for each key, including retired ones, the current one first; none
// without a current key.
func (r *Ring) AuditKeys() []AuditKey {
	var keys []AuditKey
	for _, k := range r.keys {
		if k.audit != nil {
			keys = append(keys, AuditKey{k.id, k.audit})
		}
	}
	return keys
}

// retiredKey is what is kept of a retired key: enough to verify digests and seals, which
// cannot be remade, but not to decrypt a secret.
type retiredKey struct {
	Digests []byte `json:"digests"`
	Audit   []byte `json:"audit"`
}

// Retired is a retired key, sealed under the current one.
type Retired struct{ ID, Sealed string }

// Place is where a retired key is stored.
func (k Retired) Place() secret.Place {
	return secret.Place{Table: "retired_keys", Column: "remains", Row: k.ID}
}

// Retire returns the retired form of every key except the current one.
func (r *Ring) Retire() ([]Retired, error) {
	var list []Retired
	for _, k := range r.keys {
		if k.audit == nil || k.id == r.Current() {
			continue
		}
		text, err := json.Marshal(retiredKey{k.digests, k.audit})
		if err != nil {
			return nil, fmt.Errorf("retire the key %s: %w", k.id, err)
		}
		rest, err := r.Seal(Retired{ID: k.id}.Place(), secret.New(string(text)))
		if err != nil {
			return nil, fmt.Errorf("retire the key %s: %w", k.id, err)
		}
		list = append(list, Retired{k.id, rest})
	}
	return list, nil
}

// Adopt adds a retired key to the ring, unless the ring has the key itself. Errors are
// those of Open.
func (r *Ring) Adopt(k Retired) error {
	if r.find(k.ID) != nil {
		return nil
	}
	text, err := r.Open(k.Place(), k.Sealed)
	if err != nil {
		return err
	}
	var rest retiredKey
	if err := json.Unmarshal([]byte(text.Reveal()), &rest); err != nil {
		return ErrDamaged
	}
	r.keys = append(r.keys, key{id: k.ID, digests: rest.Digests, audit: rest.Audit})
	return nil
}
