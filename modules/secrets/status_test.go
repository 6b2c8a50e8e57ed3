package secrets

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

// digests are rows made with keys. They cannot be recomputed under another key.
type digests map[string]int64

func (d digests) KeysInUse(context.Context) (map[string]int64, error) {
	if d["unavailable"] > 0 {
		return nil, errors.New("unavailable")
	}
	return d, nil
}

func TestStatusListsTheUsesOfEachKey(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		before, after, lost := ring(t, oldKey), ring(t, newKey), ring(t, "a lost key that nobody has")
		s.put(1, after, "hush", "")
		s.put(2, before, "hush", "")
		s.put(3, before, "hush", "")
		s.put(4, lost, "gone", "")
		s.put(5, ring(t, ""), "as it is", "")
		s.exec(`UPDATE shelf SET one = 'sealed:v1:of nobody', two = NULL WHERE id = $1`, rowID(1))
		mixed, err := after.Seal(place("two", 2), secret.New("under another key"))
		require.NoError(t, err)
		s.exec(`UPDATE shelf SET two = $2 WHERE id = $1`, rowID(2), mixed)

		uses := func(r *keyring.Ring, of digests) []KeyUse {
			t.Helper()
			m := New(Config{Batch: 2}, Deps{DB: s.db, Ring: r, Audit: s, Kinds: []Kind{{"shelf", s, nil}, {"digests", nil, of}}})
			status, err := m.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"shelf", "digests", "retired keys"}, status.Kinds)
			return status.Keys
		}
		both := ring(t, newKey, oldKey)
		require.Equal(t, []KeyUse{
			{after.Current(), "current", map[string]int64{"shelf": 1}, false},
			{before.Current(), "opens", map[string]int64{"shelf": 2, "digests": 4}, false},
			{lost.Current(), "not given", map[string]int64{"shelf": 1, "digests": 1}, false},
			{keyring.Damaged, "damaged", map[string]int64{"shelf": 1}, false},
			{"", "no key", map[string]int64{"shelf": 1, "digests": 3}, false},
		}, uses(both, digests{before.Current(): 4, lost.Current(): 1, "": 3}), "a row counts once for each key that it needs")

		s.exec(`DELETE FROM shelf WHERE id IN ($1, $2, $3)`, rowID(1), rowID(4), rowID(5))
		use := func(r *keyring.Ring, of digests) KeyUse {
			t.Helper()
			for _, use := range uses(r, of) {
				if use.KeyID == before.Current() {
					return use
				}
			}
			return KeyUse{}
		}
		require.False(t, use(both, nil).CanGo, "it still opens rows")
		require.Equal(t, "not given", use(ring(t, newKey), nil).Role)
		// The rows are removed without a rotation, so the key is not retired.
		s.exec(`DELETE FROM shelf`)
		require.True(t, use(both, nil).CanGo, "nothing needs the key")
		inUse := digests{before.Current(): 1}
		require.False(t, use(both, inUse).CanGo, "a digest needs the key, which is not retired")
		require.Equal(t, "not given", use(ring(t, newKey), inUse).Role)
		_, err = s.module(both).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.True(t, use(both, inUse).CanGo, "the retired key is enough")
		require.Equal(t, "retired", use(s.withRetired(newKey), inUse).Role)
		s.put(6, before, "hush", "")
		require.Equal(t, "not given", use(s.withRetired(newKey), inUse).Role, "a retired key opens nothing")
		require.False(t, use(both, inUse).CanGo)
	})
}

func TestStatusReturnsTheErrorOfAKind(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		m := New(Config{}, Deps{DB: s.db, Ring: ring(t, newKey), Audit: s, Kinds: []Kind{{"digests", nil, digests{"unavailable": 1}}}})
		_, err := m.Status(t.Context())
		require.ErrorContains(t, err, "digests")
	})
}

func TestAStartRequiresTheKeysOfSecretsInUse(t *testing.T) {
	before, lost := ring(t, oldKey), ring(t, "a lost key that nobody has")
	plain := ringOf(t, keyring.Config{Current: secret.New(newKey), Others: values([]string{oldKey}), Plain: true})
	fill := func(s *shelf, n int, r *keyring.Ring) {
		for row := range n {
			s.put(row+1, r, "hush-hush", "")
		}
	}
	cases := []struct {
		name   string
		fill   func(s *shelf)
		ring   *keyring.Ring
		reason string   // of the refusal; "" for none
		texts  []string // in the error
	}{
		{"nothing is stored", func(*shelf) {}, ring(t, newKey), "", nil},
		{"all keys are given", func(s *shelf) { fill(s, 3, before) }, ring(t, newKey, oldKey), "", nil},
		{"one key is missing", func(s *shelf) { fill(s, 1, before) }, ring(t, newKey), "key_missing",
			[]string{"the key " + before.Current() + " is needed for thing 01", ring(t, newKey).Current()}},
		{"no key is given", func(s *shelf) { fill(s, 1, before) }, ring(t, ""), "key_missing", []string{"the key " + before.Current()}},
		{"two keys are missing", func(s *shelf) { fill(s, 2, before); s.put(3, lost, "gone", "") }, ring(t, newKey), "key_missing",
			[]string{"the key " + before.Current() + " is needed for thing 01, thing 02", "the key " + lost.Current() + " is needed for thing 03"}},
		{"five things are named", func(s *shelf) { fill(s, 5, before) }, ring(t, newKey), "key_missing", []string{"thing 04, thing 05;"}},
		{"at most five things are named", func(s *shelf) { fill(s, 7, before) }, ring(t, newKey), "key_missing", []string{"thing 05 and 2 more"}},
		{"the rows are not in use", func(s *shelf) {
			fill(s, 3, before)
			s.exec(`UPDATE shelf SET in_use = $1`, false)
		}, ring(t, newKey), "", nil},
		{"a damaged row does not prevent the start", func(s *shelf) {
			fill(s, 1, before)
			s.exec(`UPDATE shelf SET one = 'sealed:v1:of nobody'`)
		}, ring(t, newKey, oldKey), "", nil},
		{"plain text in use", func(s *shelf) { fill(s, 1, ring(t, "")) }, ring(t, newKey, oldKey), "plain_secrets", []string{"thing 01"}},
		{"expected plain text", func(s *shelf) { fill(s, 1, ring(t, "")) }, plain, "", nil},
		{"plain text not in use", func(s *shelf) {
			fill(s, 1, ring(t, ""))
			s.exec(`UPDATE shelf SET in_use = $1`, false)
		}, ring(t, newKey), "", nil},
		{"plain text without any key", func(s *shelf) { fill(s, 1, ring(t, "")) }, ring(t, ""), "", nil},
	}
	eachShelf(t, func(t *testing.T, s *shelf) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				s.exec(`DELETE FROM shelf`)
				c.fill(s)
				err := s.module(c.ring).CheckKeys(t.Context())
				if c.reason == "" {
					require.NoError(t, err)
					return
				}
				require.Equal(t, c.reason, fault.As(err).Reason)
				for _, text := range c.texts {
					require.ErrorContains(t, err, text)
				}
				require.NotContains(t, err.Error(), "hush", "the error contains no secret")
			})
		}
	})
}
