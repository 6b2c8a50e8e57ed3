package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"integration-gateway/platform/id"
)

const sealsPerPage = 20

// ProofConfig is what is asked of the trail.
type ProofConfig struct {
	// RetainedFrom says since when entries are kept: missing ones from before it were
	// removed in order. The zero time: none may be missing.
	RetainedFrom time.Time
	// AnchorSeq and AnchorHash are a seal that was written down elsewhere; 0 for none.
	AnchorSeq  int64
	AnchorHash string
}

// Proof is what the seals say of the trail.
type Proof struct {
	Holds   bool   `json:"holds"`
	Seals   int64  `json:"seals"`
	Entries int    `json:"entries"` // sealed, and as they were
	Late    int    `json:"late"`    // of them, sealed after their place had been
	Unkeyed int64  `json:"unkeyed"` // seals that were made without SECRETS_KEY
	Removed int    `json:"removed"` // sealed entries from before RetainedFrom that are gone
	Waiting int    `json:"waiting"` // entries that are not sealed yet
	Head    string `json:"head"`    // the newest seal's hash, to be written down elsewhere with its number
	Broken  *Break `json:"broken"`  // the first place that does not hold
}

// Break is a place where the trail is not what was sealed.
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

// proving is a verification under way.
type proving struct {
	*Module
	cfg    ProofConfig
	upTo   seal   // the newest seal when it began
	last   seal   // the one before the next
	edge   string // the last id that is sealed in its place
	report Proof
}

// Prove recomputes every seal and holds the entries against them. It stops at the first
// place that does not hold. The trail may grow meanwhile.
func (m *Module) Prove(ctx context.Context, cfg ProofConfig) (Proof, error) {
	head, err := newestSeal(ctx, m.db)
	if err != nil {
		return Proof{}, err
	}
	p := &proving{Module: m, cfg: cfg, upTo: head, edge: beforeAll}
	broken, err := p.run(ctx)
	if err != nil {
		return Proof{}, err
	}
	p.report.Seals, p.report.Head, p.report.Broken, p.report.Holds = head.Seq, head.Hash, broken, broken == nil
	return p.report, nil
}

func (p *proving) run(ctx context.Context) (*Break, error) {
	for p.last.Seq < p.upTo.Seq {
		seals, err := readSeals(ctx, p.db, p.last.Seq, p.upTo.Seq, sealsPerPage)
		if err != nil {
			return nil, err
		}
		for _, s := range seals {
			broken := p.chained(s)
			if broken == nil {
				broken, err = p.entries(ctx, s)
			}
			if broken != nil || err != nil {
				return broken, err
			}
			p.last = s
			if !s.Late {
				p.edge = s.LastID
			}
		}
	}
	if p.cfg.AnchorSeq > p.upTo.Seq {
		return &Break{Seal: p.cfg.AnchorSeq, Kind: breakAnchor, Detail: "there is no such seal: the end of the trail was cut off"}, nil
	}
	rest, err := idsNotIn(ctx, p.db, p.edge, afterAll)
	p.report.Waiting += len(rest)
	return nil, err
}

// chained holds a seal against the one before it and against itself.
func (p *proving) chained(s seal) *Break {
	key, known := p.Module.cfg.keyOf(s.KeyID)
	broken := func(kind, format string, args ...any) *Break {
		return &Break{Seal: s.Seq, Kind: kind, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Seq != p.last.Seq+1:
		return &Break{Seal: p.last.Seq + 1, Kind: breakMissing, Detail: fmt.Sprintf("the next one is seal %d", s.Seq)}
	case s.Previous != p.last.Hash:
		return broken(breakSeal, "it does not follow the seal before it")
	case s.KeyID == "" && p.last.KeyID != "":
		return broken(breakUnkeyed, "it is made without a key, and the seal before it with one")
	case !known:
		return broken(breakKey, "it is made with the key %s, which this process does not have", s.KeyID)
	case s.Hash != key.hashOf(s) || len(s.Leaves) != s.Count*leafSize:
		return broken(breakSeal, "its hash is not that of its content")
	case s.Seq == p.cfg.AnchorSeq && s.Hash != p.cfg.AnchorHash:
		return broken(breakAnchor, "its hash is %s", s.Hash)
	}
	if s.KeyID == "" {
		p.report.Unkeyed++
	}
	return nil
}

// entries holds the entries of a seal's range against it.
func (p *proving) entries(ctx context.Context, s seal) (*Break, error) {
	leaves := unpackLeaves(s.Leaves)
	ids := make([]string, len(leaves))
	for i, l := range leaves {
		ids[i] = l.id
	}
	entries, err := entriesByID(ctx, p.db, ids)
	if err != nil {
		return nil, err
	}
	key, _ := p.Module.cfg.keyOf(s.KeyID)
	found := make(map[string]string, len(entries))
	for _, e := range entries {
		found[e.ID] = key.leafOf(e).digest
	}
	for _, l := range leaves {
		digest, here := found[l.id]
		switch {
		case !here && id.Time(l.id).Before(p.cfg.RetainedFrom):
			p.report.Removed++
			continue
		case !here:
			return &Break{s.Seq, l.id, breakDeleted, "it was sealed and is gone"}, nil
		case digest != l.digest:
			return &Break{s.Seq, l.id, breakChanged, "it is not what was sealed; its digest was " + hex.EncodeToString([]byte(l.digest))}, nil
		}
		p.report.Entries++
		if s.Late {
			p.report.Late++
		}
	}
	if s.Late {
		return nil, nil
	}
	return p.inserted(ctx, s)
}

// inserted finds entries that stand in a seal's range and in no seal. One that may have
// come late waits, for as long as the range is not looked at again.
func (p *proving) inserted(ctx context.Context, s seal) (*Break, error) {
	ids, err := p.unsealed(ctx, s, p.edge)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if s.Seq > p.upTo.SweptSeq {
		p.report.Waiting += len(ids)
		return nil, nil
	}
	return &Break{s.Seq, ids[0], breakInserted, "it stands in the range of the seal, and no seal holds it"}, nil
}
