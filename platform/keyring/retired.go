package keyring

import (
	"encoding/json"
	"fmt"

	"integration-gateway/platform/secret"
)

// AuditKey is the key of the audit trail's seals that belongs to a key of the ring.
type AuditKey struct {
	ID  string
	Key []byte
}

// AuditKeys gives one for each key, the retired ones too: the current one first. None
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

// remains is what is left of a key that was retired: enough to recognise what was made
// under it and cannot be made anew, digests and seals, and nothing that opens a secret.
type remains struct {
	Digests []byte `json:"digests"`
	Audit   []byte `json:"audit"`
}

// Retired is the rest of a key, sealed under the current one.
type Retired struct{ ID, Sealed string }

// Retire gives the rest of every key but the current one.
func (r *Ring) Retire() ([]Retired, error) {
	var list []Retired
	for _, k := range r.keys {
		if k.audit == nil || k.id == r.Current() {
			continue
		}
		text, err := json.Marshal(remains{k.digests, k.audit})
		if err != nil {
			return nil, fmt.Errorf("retire the key %s: %w", k.id, err)
		}
		rest, err := r.Seal(secret.New(string(text)))
		if err != nil {
			return nil, fmt.Errorf("retire the key %s: %w", k.id, err)
		}
		list = append(list, Retired{k.id, rest})
	}
	return list, nil
}

// Adopt has the ring know a key that was retired, unless it has the key itself. Errors are
// Open's.
func (r *Ring) Adopt(k Retired) error {
	if r.find(k.ID) != nil {
		return nil
	}
	text, err := r.Open(k.Sealed)
	if err != nil {
		return err
	}
	var rest remains
	if err := json.Unmarshal([]byte(text.Reveal()), &rest); err != nil {
		return ErrDamaged
	}
	r.keys = append(r.keys, key{id: k.ID, digests: rest.Digests, audit: rest.Audit})
	return nil
}
