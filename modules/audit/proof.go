package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"integration-gateway/platform/id"
)

const sealsPerPage = 20

// ProofConfig says what a proof expects of the trail.
type ProofConfig struct {
	// RetainedFrom is the start of the retention: entries that are missing from before it
	// were removed by retention. The zero time, and any before what the seals themselves say of
	// retention (see Retain): that.
	RetainedFrom time.Time
	// AnchorSeq and AnchorHash name a seal that was noted elsewhere; 0 for none.
	AnchorSeq  int64
	AnchorHash string
}

// Proof is the result of checking the trail against its seals.
type Proof struct {
	Holds   bool   `json:"holds"`
	Seals   int64  `json:"seals"`
	Entries int    `json:"entries"` // sealed and unchanged
	Late    int    `json:"late"`    // of these, the ones with a late seal
	Unkeyed int64  `json:"unkeyed"` // seals made without SECRETS_KEY
	Removed int    `json:"removed"` // sealed entries from before the retention that it removed, of the seals that are left
	Waiting int    `json:"waiting"` // entries not sealed yet
	Head    string `json:"head"`    // the newest seal's hash, to be noted elsewhere with its number
	Broken  *Break `json:"broken"`  // the first violation

	Lost []LostSeals `json:"lost,omitempty"` // seals that were gone, though a process had seen them; the last first
}

// Break is a place where the trail differs from what was sealed. EntryID may be the id of a
// group: the ids of its entries differ from it in the last four digits.
type Break struct {
	Seal    int64  `json:"seal"`
	EntryID string `json:"entryId,omitempty"`
	Kind    string `json:"kind"`
	Detail  string `json:"detail"`
}

// The kinds of breaks.
const (
	breakDeleted  = "entry_deleted"
	breakChanged  = "entry_changed"
	breakInserted = "entry_inserted"
	breakSeal     = "seal_changed"
	breakMissing  = "seal_missing"
	breakKey      = "unknown_key"
	breakUnkeyed  = "key_dropped"
	breakAnchor   = "anchor_differs"
)

// verification is a proof in progress.
type verification struct {
	*Module
	cfg         ProofConfig
	upTo        seal   // the newest seal at the start
	last        seal   // the last seal checked
	lastInPlace string // the last id sealed by a seal that is not late
	report      Proof
}

// Prove recomputes every seal and compares the entries with it. It stops at the first
// violation. The trail may grow meanwhile.
func (m *Module) Prove(ctx context.Context, cfg ProofConfig) (Proof, error) {
	head, err := newestSeal(ctx, m.db)
	if err != nil {
		return Proof{}, err
	}
	kept, err := newestRetention(ctx, m.db, head.Seq)
	if err != nil {
		return Proof{}, err
	}
	if kept.From != nil && kept.From.After(cfg.RetainedFrom) {
		cfg.RetainedFrom = kept.From.Time
	}
	if cfg.AnchorSeq > 0 && cfg.AnchorSeq < kept.Upto {
		return Proof{}, fmt.Errorf("the anchor's seal %d was removed by retention, with all that it sealed: note a newer one", cfg.AnchorSeq)
	}
	v := &verification{Module: m, cfg: cfg, upTo: head, last: seal{Seq: kept.Upto, Hash: kept.Last}, lastInPlace: minID}
	broken, err := v.run(ctx)
	if err != nil {
		return Proof{}, err
	}
	if v.report.Lost, err = lossesOf(ctx, m.db); err != nil {
		return Proof{}, err
	}
	v.report.Seals, v.report.Head, v.report.Broken, v.report.Holds = head.Seq, head.Hash, broken, broken == nil
	return v.report, nil
}

func (v *verification) run(ctx context.Context) (*Break, error) {
	if v.last.Seq > 0 && v.last.Seq == v.cfg.AnchorSeq && v.last.Hash != v.cfg.AnchorHash {
		return &Break{Seal: v.last.Seq, Kind: breakAnchor, Detail: "its hash was " + v.last.Hash}, nil
	}
	for v.last.Seq < v.upTo.Seq {
		seals, err := readSeals(ctx, v.db, v.last.Seq, v.upTo.Seq, sealsPerPage)
		if err != nil {
			return nil, err
		}
		for _, s := range seals {
			broken := v.checkSeal(s)
			if broken == nil {
				broken, err = v.checkEntries(ctx, s)
			}
			if broken != nil || err != nil {
				return broken, err
			}
			v.last = s
			if !s.Late {
				v.lastInPlace = s.LastID
			}
		}
	}
	if v.cfg.AnchorSeq > v.upTo.Seq {
		return &Break{Seal: v.cfg.AnchorSeq, Kind: breakAnchor, Detail: "no such seal exists: the end of the trail was cut off"}, nil
	}
	rest, err := unitsNotIn(ctx, v.db, v.lastInPlace, maxID)
	v.report.Waiting += countOf(rest)
	return nil, err
}

// checkSeal compares a seal with its predecessor and with its own content.
func (v *verification) checkSeal(s seal) *Break {
	key, known := v.Module.cfg.keyOf(s.KeyID)
	broken := func(kind, format string, args ...any) *Break {
		return &Break{Seal: s.Seq, Kind: kind, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Seq != v.last.Seq+1:
		return &Break{Seal: v.last.Seq + 1, Kind: breakMissing, Detail: fmt.Sprintf("the next seal is %d", s.Seq)}
	case s.Previous != v.last.Hash:
		return broken(breakSeal, "it does not follow the previous seal")
	case s.KeyID == "" && v.last.KeyID != "":
		return broken(breakUnkeyed, "it was made without a key, but the previous seal with one")
	case !known:
		return broken(breakKey, "it was made with the key %s, which this process does not have", s.KeyID)
	case s.Hash != key.hashOf(s) || len(s.Leaves) != s.Count*leafSize:
		return broken(breakSeal, "its hash does not match its content")
	case s.Seq == v.cfg.AnchorSeq && s.Hash != v.cfg.AnchorHash:
		return broken(breakAnchor, "its hash is %s", s.Hash)
	}
	if s.KeyID == "" {
		v.report.Unkeyed++
	}
	return nil
}

// checkEntries compares the entries of a seal's range with the seal.
func (v *verification) checkEntries(ctx context.Context, s seal) (*Break, error) {
	leaves := unpackLeaves(s.Leaves)
	ids := make([]string, len(leaves))
	for i, l := range leaves {
		ids[i] = l.id
	}
	key, _ := v.Module.cfg.keyOf(s.KeyID)
	stored, err := key.leavesByID(ctx, v.db, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(stored))
	for _, l := range stored {
		if _, twice := found[l.id]; twice {
			return &Break{s.Seq, l.id, breakInserted, "both audit_entries and audit_groups have this id"}, nil
		}
		found[l.id] = l.digest
	}
	for _, l := range leaves {
		digest, here := found[l.id]
		switch {
		case !here && id.Time(l.id).Before(v.cfg.RetainedFrom):
			v.report.Removed += l.entries
			continue
		case !here:
			return &Break{s.Seq, l.id, breakDeleted, "it was sealed and has been deleted"}, nil
		case digest != l.digest:
			return &Break{s.Seq, l.id, breakChanged, "it differs from what was sealed; the sealed digest is " + hex.EncodeToString([]byte(l.digest))}, nil
		}
		v.report.Entries += l.entries
		if s.Late {
			v.report.Late += l.entries
		}
	}
	if s.Late {
		return nil, nil
	}
	return v.checkInserted(ctx, s)
}

// checkInserted finds entries in a seal's range that no seal contains. An entry that may be
// late counts as waiting until the range has had its final check.
func (v *verification) checkInserted(ctx context.Context, s seal) (*Break, error) {
	units, err := v.unsealed(ctx, s, v.lastInPlace)
	if err != nil || len(units) == 0 {
		return nil, err
	}
	if s.Seq > v.upTo.SweptSeq {
		v.report.Waiting += countOf(units)
		return nil, nil
	}
	return &Break{s.Seq, units[0].ID, breakInserted, "it lies in the seal's range, but no seal contains it"}, nil
}
