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
	roleCurrent  = "current"   // encrypts and decrypts
	roleOpens    = "opens"     // only decrypts
	roleRetired  = "retired"   // verifies digests and seals
	rolePlain    = "no key"    // stored as plain text
	roleDamaged  = "damaged"   // names no key
	roleNotGiven = "not given" // this process does not have it
)

// KeyUse says how many rows need a key.
type KeyUse struct {
	KeyID string           `json:"keyId"` // "" for what is stored without a key
	Role  string           `json:"role"`
	Rows  map[string]int64 `json:"rows"` // by kind
	// CanGo is set if the records no longer need the key: nothing has to be decrypted with
	// it, and its retired form is enough for digests and seals.
	CanGo bool `json:"canGo"`
}

// Status lists the keys that the records need.
type Status struct {
	Kinds []string `json:"kinds"`
	Keys  []KeyUse `json:"keys"`
}

// Status counts the rows of every kind by the key they need.
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
		if k.Usage != nil {
			inUse, err := k.Usage.KeysInUse(ctx)
			if err != nil {
				return s, fmt.Errorf("count the keys of %s: %w", k.Name, err)
			}
			for keyID, n := range inUse {
				count(k.Name, keyID, n)
			}
			continue
		}
		err := m.eachBatch(ctx, k, func(rows []contract.SealedRow) error {
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
	retired, err := m.retiredKeys(ctx)
	if err != nil {
		return s, err
	}
	for keyID, use := range uses {
		delete(use.Rows, "")
		use.Role = m.role(keyID, retired[keyID] && opened[keyID] == 0)
		use.CanGo = use.Role == roleOpens && opened[keyID] == 0 && (len(use.Rows) == 0 || retired[keyID])
		s.Keys = append(s.Keys, *use)
	}
	order := []string{roleCurrent, roleOpens, roleNotGiven, roleDamaged, rolePlain, roleRetired}
	slices.SortFunc(s.Keys, func(a, b KeyUse) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Role), slices.Index(order, b.Role)), cmp.Compare(a.KeyID, b.KeyID))
	})
	return s, nil
}

// retiredKeys returns the ids of the keys whose retired form is stored.
func (m *Module) retiredKeys(ctx context.Context) (map[string]bool, error) {
	rows, err := Retired(ctx, m.d.DB)
	ids := map[string]bool{}
	for _, k := range rows {
		ids[k.ID] = true
	}
	return ids, err
}

// role returns the role of a key. retired is set if its retired form is enough.
func (m *Module) role(keyID string, retired bool) string {
	switch {
	case keyID == keyring.Damaged:
		return roleDamaged
	case keyID == "":
		return rolePlain
	case keyID == m.d.Ring.Current():
		return roleCurrent
	case slices.Contains(m.d.Ring.Opens(), keyID):
		return roleOpens
	case retired:
		return roleRetired
	}
	return roleNotGiven
}

// maxNamedRows is how many rows an error names for one key.
const maxNamedRows = 5

// firstFew names the first few owners of rows.
func firstFew(of []string) string {
	of = slices.Compact(slices.Sorted(slices.Values(of)))
	text := strings.Join(of[:min(len(of), maxNamedRows)], ", ")
	if more := len(of) - maxNamedRows; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// CheckKeys returns an error, by name, if something in use needs a key that was not given:
// with a wrong key this process would refuse webhooks and delay events, while the process
// it replaces does not. It also returns an error if something in use is stored without
// encryption, unless this is expected. Damaged texts do not prevent the start, because only their
// own records are broken.
func (m *Module) CheckKeys(ctx context.Context) error {
	given := m.d.Ring.Opens()
	missing := map[string][]string{}
	var plain []string
	for _, k := range m.d.Kinds {
		if k.Store == nil {
			continue
		}
		err := m.eachBatch(ctx, k, func(rows []contract.SealedRow) error {
			for _, row := range rows {
				for keyID := range keysOf(row) {
					if row.InUse && keyID == "" && !m.d.Ring.ReadsPlain() {
						plain = append(plain, row.Of)
					}
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
	switch {
	case len(plain) > 0:
		return fault.Conflict.New("plain_secrets", "Secrets in use are stored without encryption, and SECRETS_KEY is set: those of %s. "+
			"If they were stored before there was a key, set SECRETS_READ_PLAIN=true, run `gateway secrets rotate-key`, and unset it; "+
			"otherwise somebody else wrote them: set them again with `gateway integrations`.", firstFew(plain))
	case len(missing) == 0:
		return nil
	}
	var parts []string
	for _, keyID := range slices.Sorted(maps.Keys(missing)) {
		parts = append(parts, fmt.Sprintf("the key %s is needed for %s", keyID, firstFew(missing[keyID])))
	}
	have := "no key was given"
	if len(given) > 0 {
		have = "the given keys are " + strings.Join(given, ", ")
	}
	return fault.Conflict.New("key_missing", "Secrets in use cannot be opened: %s; %s. Give it in SECRETS_KEY or SECRETS_READ_KEYS; "+
		"if it is lost, set these secrets again with `gateway integrations`.", strings.Join(parts, "; "), have)
}
