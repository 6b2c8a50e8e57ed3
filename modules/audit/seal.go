package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"strconv"

	"github.com/google/uuid"

	"integration-gateway/platform/clock"
)

// SealKey makes seals that only a holder of the key can make. Without a key a seal is a
// plain SHA-256, which anyone who can write audit_seals can recompute for a changed trail.
type SealKey struct {
	ID  string // stored with the seal; not "" and not secret
	Key []byte
}

// digest is HMAC-SHA-256 under the key, or SHA-256 without one, of the texts as netstrings,
// so that different lists of texts never give the same bytes.
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

// A leaf is an entry or a group in a seal: its id, the number of its entries in two bytes,
// and its digest.
const leafSize = 16 + 2 + sha256.Size

type leaf struct {
	id      string
	entries int
	digest  string // raw bytes
}

// leafOf digests every column of an entry. A null entity id and an empty one differ.
func (k SealKey) leafOf(e entry) leaf {
	entity := "null"
	if e.EntityID != nil {
		entity = "=" + *e.EntityID
	}
	return leaf{e.ID, 1, string(k.digest(e.ID, e.EntityType, entity, e.Action, e.Actor, e.Details, micros(e.CreatedAt)))}
}

// leafOfGroup digests every column of a group.
func (k SealKey) leafOfGroup(g group) leaf {
	return leaf{g.ID, g.count(), string(k.digest("group", g.ID, strconv.Itoa(g.Received), strconv.Itoa(g.Normalized), strconv.Itoa(g.Queued),
		strconv.Itoa(g.Processed), string(g.Entities), micros(g.CreatedAt), g.Entries))}
}

func micros(t clock.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

func packLeaves(leaves []leaf) ([]byte, error) {
	packed := make([]byte, 0, len(leaves)*leafSize)
	for _, l := range leaves {
		id, err := uuid.Parse(l.id)
		if err != nil {
			return nil, fmt.Errorf("audit entry %q: %w", l.id, err)
		}
		packed = binary.BigEndian.AppendUint16(append(packed, id[:]...), uint16(min(l.entries, math.MaxUint16))) //nolint:gosec // limited
		packed = append(packed, l.digest...)
	}
	return packed, nil
}

func unpackLeaves(packed []byte) []leaf {
	leaves := make([]leaf, 0, len(packed)/leafSize)
	for ; len(packed) >= leafSize; packed = packed[leafSize:] {
		leaves = append(leaves, leaf{uuid.UUID(packed[:16]).String(), int(binary.BigEndian.Uint16(packed[16:])), string(packed[18:leafSize])})
	}
	return leaves
}

// seal is a row of audit_seals. A late seal contains entries that committed after their
// range had been sealed. Count is the number of leaves.
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
	retained
}

// retained is what a seal of retention says: entries from before From may be missing, and the seals up
// to Upto, of which the last had the hash, were removed with all that they had sealed. From is nil in
// other seals.
type retained struct {
	From *clock.Time `db:"retained_from"`
	Upto int64       `db:"dropped_seq"`
	Last string      `db:"dropped_hash"`
}

// texts are the parts of a seal's digest.
func (r retained) texts() []string {
	from := "null"
	if r.From != nil {
		from = micros(*r.From)
	}
	return []string{from, strconv.FormatInt(r.Upto, 10), r.Last}
}

// hashOf returns the correct hash of a seal.
func (k SealKey) hashOf(s seal) string {
	return hex.EncodeToString(k.digest(append([]string{s.Previous, strconv.FormatInt(s.Seq, 10), s.FirstID, s.LastID, strconv.Itoa(s.Count),
		strconv.FormatBool(s.Late), string(s.Leaves), s.KeyID, strconv.FormatInt(s.SweptSeq, 10), micros(s.SealedAt)}, s.texts()...)...))
}

// sealOf makes the seal that follows newest, over leaves in id order.
func (k SealKey) sealOf(newest seal, leaves []leaf, late bool, swept int64, now clock.Time) (seal, error) {
	packed, err := packLeaves(leaves)
	if err != nil {
		return seal{}, err
	}
	s := seal{Seq: newest.Seq + 1, FirstID: leaves[0].id, LastID: leaves[len(leaves)-1].id, Count: len(leaves), Late: late,
		Leaves: packed, KeyID: k.ID, SweptSeq: swept, Previous: newest.Hash, SealedAt: now}
	s.Hash = k.hashOf(s)
	return s, nil
}

// entriesIn is the number of entries in leaves.
func entriesIn(leaves []leaf) (n int) {
	for _, l := range leaves {
		n += l.entries
	}
	return n
}
