package secrets

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/keyring"
)

// The roles of a key.
const (
	roleCurrent  = "current"   // seals and opens
	roleOpens    = "opens"     // opens what it sealed
	roleRetired  = "retired"   // recognises digests and seals
	rolePlain    = "no key"    // what is stored as it is
	roleDamaged  = "damaged"   // what names no key
	roleNotGiven = "not given" // this process does not have it
)

// KeyUse is what the records need a key for.
type KeyUse struct {
	KeyID string           `json:"keyId"` // "" for what is stored without a key
	Role  string           `json:"role"`
	Rows  map[string]int64 `json:"rows"` // by kind
	// CanGo says that the records need it no more: nothing has to be opened with it, and
	// what has to be recognised is by what is kept of it.
	CanGo bool `json:"canGo"`
}

// Status is what the records need keys for.
type Status struct {
	Kinds []string `json:"kinds"`
	Keys  []KeyUse `json:"keys"`
}

// Status counts the rows of every kind by the key that they need.
func (m *Module) Status(ctx context.Context) (Status, error) {
	var s Status
	uses := map[string]*KeyUse{}
	count := func(kind, keyID string, n int64) {
		if uses[keyID] == nil {
			uses[keyID] = &KeyUse{KeyID: keyID, Rows: map[string]int64{}}
		}
		uses[keyID].Rows[kind] += n
	}
	for _, keyID := range m.d.Ring.Opens() {
		count("", keyID, 0)
	}
	opened := map[string]int64{}
	for _, k := range m.d.Kinds {
		s.Kinds = append(s.Kinds, k.Name)
		if k.Marks != nil {
			inUse, err := k.Marks.KeysInUse(ctx)
			if err != nil {
				return s, fmt.Errorf("count the keys of %s: %w", k.Name, err)
			}
			for keyID, n := range inUse {
				count(k.Name, keyID, n)
			}
			continue
		}
		err := m.each(ctx, k, func(rows []contract.SealedRow) error {
			for _, row := range rows {
				for keyID := range keysOf(row) {
					count(k.Name, keyID, 1)
					opened[keyID]++
				}
			}
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	kept, err := m.kept(ctx)
	if err != nil {
		return s, err
	}
	for keyID, use := range uses {
		delete(use.Rows, "")
		use.Role = m.role(keyID, kept[keyID] && opened[keyID] == 0)
		use.CanGo = use.Role == roleOpens && opened[keyID] == 0 && (len(use.Rows) == 0 || kept[keyID])
		s.Keys = append(s.Keys, *use)
	}
	order := []string{roleCurrent, roleOpens, roleNotGiven, roleDamaged, rolePlain, roleRetired}
	slices.SortFunc(s.Keys, func(a, b KeyUse) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Role), slices.Index(order, b.Role)), cmp.Compare(a.KeyID, b.KeyID))
	})
	return s, nil
}

// kept are the ids of keys of which the records keep what is left.
func (m *Module) kept(ctx context.Context) (map[string]bool, error) {
	rows, err := Retired(ctx, m.d.DB)
	kept := map[string]bool{}
	for _, k := range rows {
		kept[k.ID] = true
	}
	return kept, err
}

// role of a key; kept says that what is left of it is enough.
func (m *Module) role(keyID string, kept bool) string {
	switch {
	case keyID == keyring.Damaged:
		return roleDamaged
	case keyID == "":
		return rolePlain
	case keyID == m.d.Ring.Current():
		return roleCurrent
	case slices.Contains(m.d.Ring.Opens(), keyID):
		return roleOpens
	case kept:
		return roleRetired
	}
	return roleNotGiven
}

// shownRows is how many rows an error names of one key.
const shownRows = 5

// CheckKeys refuses, by name, when something that is in use needs a key which was not
// given: with a wrong key a process would refuse webhooks and let events wait, and the one
// that it replaces does not. What is damaged is no reason: it is taken for broken alone.
func (m *Module) CheckKeys(ctx context.Context) error {
	given := m.d.Ring.Opens()
	missing := map[string][]string{}
	for _, k := range m.d.Kinds {
		if k.Store == nil {
			continue
		}
		err := m.each(ctx, k, func(rows []contract.SealedRow) error {
			for _, row := range rows {
				for keyID := range keysOf(row) {
					if row.InUse && keyID != "" && keyID != keyring.Damaged && !slices.Contains(given, keyID) {
						missing[keyID] = append(missing[keyID], row.Of)
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var parts []string
	for _, keyID := range slices.Sorted(maps.Keys(missing)) {
		of := slices.Compact(slices.Sorted(slices.Values(missing[keyID])))
		text := fmt.Sprintf("the key %s is needed for %s", keyID, strings.Join(of[:min(len(of), shownRows)], ", "))
		if more := len(of) - shownRows; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, text)
	}
	have := "none was given"
	if len(given) > 0 {
		have = "given were " + strings.Join(given, ", ")
	}
	return fault.Conflict.New("key_missing", "Secrets in use cannot be opened: %s; %s. Give it in SECRETS_KEY or SECRETS_READ_KEYS; "+
		"where it is lost, set these secrets anew with `gateway integrations`.", strings.Join(parts, "; "), have)
}
