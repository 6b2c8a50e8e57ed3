package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// A key begins with keyPrefix, which secret scanners can find. Its first prefixBytes tell
// keys apart; the rest has more than 200 random bits.
const (
	keyPrefix   = "igk_"
	keyBytes    = 32
	prefixBytes = len(keyPrefix) + 6
)

// Key is a management key as the API shows it.
type Key struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Prefix     string      `json:"prefix"`
	Role       string      `json:"role" api:"enum=viewer|operator|admin"`
	Sources    []string    `json:"sources" api:"nullable"` // null: all
	CreatedAt  clock.Time  `json:"createdAt"`
	CreatedBy  string      `json:"createdBy"`
	ExpiresAt  *clock.Time `json:"expiresAt"`
	RevokedAt  *clock.Time `json:"revokedAt"`
	LastUsedAt *clock.Time `json:"lastUsedAt"`
}

// actor is the key's name in audit entries.
func (k Key) actor() string { return "api-key:" + k.Name }

func (k Key) details() json.RawMessage {
	text, _ := json.Marshal(struct { // strings and times always marshal
		Name      string      `json:"name"`
		Prefix    string      `json:"prefix"`
		Role      string      `json:"role"`
		Sources   []string    `json:"sources"`
		ExpiresAt *clock.Time `json:"expiresAt"`
	}{k.Name, k.Prefix, k.Role, k.Sources, k.ExpiresAt})
	return text
}

// NewKey holds the parameters of a new key.
type NewKey struct {
	Name      string
	Role      string
	Sources   []string // nil: all
	ExpiresAt *time.Time
}

// hashOf returns the form in which a key is stored. One round of SHA-256 is enough: a key
// has 256 random bits, so a slow hash would not make guessing harder, and every request
// computes one.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	sourcePattern = regexp.MustCompile(`^[a-z0-9_-]{1,100}$`)
)

// maxSources limits how many sources one key can be restricted to.
const maxSources = 100

func (n NewKey) check(now time.Time) error {
	var wrong []fault.Field
	bad := func(field, message string) { wrong = append(wrong, fault.Field{Field: field, Message: message}) }
	if !namePattern.MatchString(n.Name) {
		bad("name", "must be 1 to 64 lower-case letters, digits, '.', '_' or '-', and start with a letter or digit")
	}
	if _, ok := httpapi.ParseRole(n.Role); !ok {
		bad("role", "must be one of viewer, operator, admin")
	}
	if n.Sources != nil && (len(n.Sources) == 0 || len(n.Sources) > maxSources) {
		bad("sources", "must name 1 to 100 sources; leave it out for all")
	}
	for _, source := range n.Sources {
		if !sourcePattern.MatchString(source) {
			bad("sources", "must be names of sources: lower-case letters, digits, '-' and '_'")
			break
		}
	}
	if n.ExpiresAt != nil && (!n.ExpiresAt.After(now) || n.ExpiresAt.UTC().Year() > 9999) {
		bad("expiresAt", "must be in the future")
	}
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	return nil
}

// Create makes a key. The key itself is not stored, so this is the only time it is known. A
// name is never reused, since audit entries refer to keys by name.
func (m *Module) Create(ctx context.Context, n NewKey) (Key, secret.Value, error) {
	if err := n.check(m.d.Now()); err != nil {
		return Key{}, secret.Value{}, err
	}
	random := make([]byte, keyBytes)
	_, _ = rand.Read(random) // it never fails
	text := keyPrefix + base64.RawURLEncoding.EncodeToString(random)
	k := Key{ID: id.New(), Name: n.Name, Prefix: text[:prefixBytes], Role: n.Role, Sources: n.Sources, CreatedBy: httpapi.Actor(ctx)}
	if n.ExpiresAt != nil {
		expires := clock.At(*n.ExpiresAt)
		k.ExpiresAt = &expires
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		k.CreatedAt = clock.At(tx.Now)
		if err := insertKey(ctx, tx, k, hashOf(text)); err != nil {
			return err
		}
		tx.AfterCommit(m.cache.invalidate)
		return m.audit(ctx, tx, "api_key.created", k)
	})
	if err != nil {
		return Key{}, secret.Value{}, err
	}
	return k, secret.New(text), nil
}

// Revoke ends a key for good: in this process immediately, in others within a second. A key
// that was revoked before keeps its time of revocation.
func (m *Module) Revoke(ctx context.Context, keyID string) (Key, error) {
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		revoked, err := revokeKey(ctx, tx, keyID)
		if err != nil || !revoked {
			return err
		}
		k, err := readKey(ctx, tx, keyID)
		if err != nil {
			return err
		}
		tx.AfterCommit(m.cache.invalidate)
		return m.audit(ctx, tx, "api_key.revoked", k)
	})
	if err != nil {
		return Key{}, err
	}
	return readKey(ctx, m.d.DB, keyID)
}
