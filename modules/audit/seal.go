package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"

	"github.com/google/uuid"

	"integration-gateway/platform/clock"
)

// SealKey makes seals that only its holder can make. Without a key a seal is a plain
// SHA-256, which whoever may write audit_seals can compute anew for a changed trail.
type SealKey struct {
	ID  string // stored with the seal; not "" and not secret
	Key []byte
}

// digest is HMAC-SHA-256 under the key, or SHA-256 without one, of texts as netstrings: no
// two lists of texts give the same bytes.
func (k SealKey) digest(texts ...string) []byte {
	var h hash.Hash
	if k.ID == "" {
		h = sha256.New()
	} else {
		h = hmac.New(sha256.New, k.Key)
	}
	for _, text := range texts {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(text), text)
	}
	return h.Sum(nil)
}

// A leaf is an entry in a seal: its id and its digest.
const leafSize = 16 + sha256.Size

type leaf struct {
	id     string
	digest string // raw bytes
}

// leafOf digests every column of an entry. An entity id that is null and one that is
// empty differ.
func (k SealKey) leafOf(e entry) leaf {
	entity := "null"
	if e.EntityID != nil {
		entity = "=" + *e.EntityID
	}
	return leaf{e.ID, string(k.digest(e.ID, e.EntityType, entity, e.Action, e.Actor, e.Details, micros(e.CreatedAt)))}
}

func micros(t clock.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

func packLeaves(leaves []leaf) ([]byte, error) {
	packed := make([]byte, 0, len(leaves)*leafSize)
	for _, l := range leaves {
		id, err := uuid.Parse(l.id)
		if err != nil {
			return nil, fmt.Errorf("audit entry %q: %w", l.id, err)
		}
		packed = append(append(packed, id[:]...), l.digest...)
	}
	return packed, nil
}

func unpackLeaves(packed []byte) []leaf {
	leaves := make([]leaf, 0, len(packed)/leafSize)
	for ; len(packed) >= leafSize; packed = packed[leafSize:] {
		leaves = append(leaves, leaf{uuid.UUID(packed[:16]).String(), string(packed[16:leafSize])})
	}
	return leaves
}

// seal is a row of audit_seals. A late one holds entries that committed after their place
// had been sealed.
type seal struct {
	Seq      int64      `db:"seq"`
	FirstID  string     `db:"first_id"`
	LastID   string     `db:"last_id"`
	Count    int        `db:"count"`
	Late     bool       `db:"late"`
	Leaves   []byte     `db:"leaves"`
	KeyID    string     `db:"sealed_by"`
	SweptSeq int64      `db:"swept_seq"`
	Previous string     `db:"previous_hash"`
	Hash     string     `db:"hash"`
	SealedAt clock.Time `db:"sealed_at"`
}

// hashOf is what the seal's hash must be.
func (k SealKey) hashOf(s seal) string {
	return hex.EncodeToString(k.digest(s.Previous, strconv.FormatInt(s.Seq, 10), s.FirstID, s.LastID, strconv.Itoa(s.Count),
		strconv.FormatBool(s.Late), string(s.Leaves), s.KeyID, strconv.FormatInt(s.SweptSeq, 10), micros(s.SealedAt)))
}

// sealOf makes the seal that follows newest over entries in the order of their ids.
func (k SealKey) sealOf(newest seal, entries []entry, late bool, swept int64, now clock.Time) (seal, error) {
	leaves := make([]leaf, len(entries))
	for i, e := range entries {
		leaves[i] = k.leafOf(e)
	}
	packed, err := packLeaves(leaves)
	if err != nil {
		return seal{}, err
	}
	s := seal{Seq: newest.Seq + 1, FirstID: leaves[0].id, LastID: leaves[len(leaves)-1].id, Count: len(leaves), Late: late,
		Leaves: packed, KeyID: k.ID, SweptSeq: swept, Previous: newest.Hash, SealedAt: now}
	s.Hash = k.hashOf(s)
	return s, nil
}
