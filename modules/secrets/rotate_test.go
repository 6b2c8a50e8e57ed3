package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

func TestARotationSealsEverythingWithTheCurrentKey(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		before, after := ring(t, oldKey), ring(t, newKey)
		for n := 1; n <= 4; n++ {
			s.put(n, before, "hush", "more of it")
		}
		s.exec(`UPDATE shelf SET two = NULL WHERE id = $1`, rowID(2))
		s.put(5, after, "hush", "already under the new key")
		s.put(6, ring(t, ""), "hush", "from before there was a key")
		kept, _ := s.texts(5)

		both := s.module(ringOf(t, keyring.Config{Current: secret.New(newKey), Others: values([]string{oldKey}), Plain: true}))
		var seen []Progress
		r, err := both.Rotate(httpapi.WithActor(t.Context(), "somebody"), func(p Progress) error { seen = append(seen, p); return nil })
		require.NoError(t, err)
		require.Equal(t, after.Current(), r.KeyID)
		require.EqualValues(t, 5, r.Resealed)
		require.Empty(t, r.Remaining)
		require.Equal(t, []Progress{{"shelf", 2, 2}, {"shelf", 4, 4}, {"shelf", 6, 5}}, seen[:3], "a batch at a time")
		for n := 1; n <= 6; n++ {
			require.Equal(t, "hush", s.opens(n, after), "row %d opens without the old key", n)
			_, two := s.texts(n)
			require.Equal(t, n == 2, two == nil, "row %d: an empty text stays empty", n)
		}
		unchanged, _ := s.texts(5)
		require.Equal(t, kept, unchanged, "a text under the current key is unchanged")

		require.Len(t, s.trail, 1)
		require.Equal(t, "secrets.rotated", s.trail[0].Action)
		require.Equal(t, "somebody", s.trail[0].Actor)
		details, err := json.Marshal(map[string]any{"keyId": after.Current(), "resealed": 5, "remaining": 0})
		require.NoError(t, err)
		require.JSONEq(t, string(details), string(s.trail[0].Details))

		again, err := both.Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.Zero(t, again.Resealed)
		require.Len(t, s.trail, 1, "a rotation without changes is not audited")
	})
}

func TestARotationRequiresACurrentKey(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		s.put(1, ring(t, ""), "hush", "")
		_, err := s.module(ring(t, "")).Rotate(t.Context(), ignore)
		require.True(t, fault.Is(err, fault.Invalid))
		require.Equal(t, "hush", s.opens(1, ring(t, "")))
	})
}

func TestTextsThatCannotBeOpenedAreReportedAndUnchanged(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		before, lost := ring(t, oldKey), ring(t, "a lost key that nobody has")
		for n := 1; n <= 6; n++ {
			s.put(n, before, "hush", "")
		}
		s.put(7, lost, "gone", "")
		elsewhere, _ := s.texts(1)
		s.exec(`UPDATE shelf SET one = $2 WHERE id = $1`, rowID(2), elsewhere)
		s.exec(`UPDATE shelf SET one = 'as it is' WHERE id = $1`, rowID(3))
		s.exec(`UPDATE shelf SET one = 'sealed:v1:of nobody' WHERE id = $1`, rowID(4))

		r, err := s.module(ring(t, newKey, oldKey)).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.EqualValues(t, 3, r.Resealed)
		problems := map[string]string{}
		for _, failure := range r.Remaining {
			require.Equal(t, "shelf", failure.Kind)
			require.Equal(t, "thing "+failure.ID[len(failure.ID)-2:], failure.Of)
			require.NotContains(t, failure.Problem, "hush")
			problems[failure.ID] = failure.Problem
		}
		require.Equal(t, map[string]string{
			rowID(2): keyring.ErrDamaged.Error(),
			rowID(3): keyring.ErrPlain.Error(),
			rowID(4): keyring.ErrDamaged.Error(),
			rowID(7): keyring.MissingKey{ID: lost.Current()}.Error(),
		}, problems, "each is reported once, regardless of the number of passes")
		for _, n := range []int{1, 5, 6} {
			require.Equal(t, "hush", s.opens(n, ring(t, newKey)))
		}
		require.Equal(t, "gone", s.opens(7, lost), "the text is unchanged")
	})
}

func TestAConcurrentEditIsKept(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		before := ring(t, oldKey)
		for n := 1; n <= 3; n++ {
			s.put(n, before, "hush", "")
		}
		edits := 0
		s.afterRead = func([]contract.SealedRow) {
			if edits++; edits > 1 {
				return
			}
			edited, err := before.Seal(place("one", 1), secret.New("edited"))
			require.NoError(t, err)
			s.exec(`UPDATE shelf SET one = $2 WHERE id = $1`, rowID(1), edited)
			s.exec(`UPDATE shelf SET two = NULL WHERE id = $1`, rowID(2))
		}
		r, err := s.module(ring(t, newKey, oldKey)).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.EqualValues(t, 3, r.Resealed)
		require.Empty(t, r.Remaining, "the next pass resealed them")
		require.Equal(t, "edited", s.opens(1, ring(t, newKey)))
		require.Equal(t, "hush", s.opens(2, ring(t, newKey)))
		_, two := s.texts(2)
		require.Nil(t, two)
	})
}

func TestARotationEndsDespiteAConstantWriter(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		before := ring(t, oldKey)
		s.put(1, before, "hush", "")
		reads := 0
		s.afterRead = func(rows []contract.SealedRow) {
			if len(rows) == 0 {
				return
			}
			reads++
			edited, err := before.Seal(place("one", 1), secret.New("edited"))
			require.NoError(t, err)
			s.exec(`UPDATE shelf SET one = $2 WHERE id = $1`, rowID(1), edited)
		}
		r, err := s.module(ring(t, newKey, oldKey)).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.Zero(t, r.Resealed)
		require.Equal(t, maxPasses, reads)
		require.Len(t, r.Remaining, 1)
		require.Contains(t, r.Remaining[0].Problem, "1 rows were changed meanwhile")
		require.Equal(t, "edited", s.opens(1, before))
	})
}

func TestAnInterruptedRotationCanBeResumed(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		before, after := ring(t, oldKey), ring(t, newKey)
		for n := 1; n <= 5; n++ {
			s.put(n, before, "hush", "")
		}
		m := s.module(ring(t, newKey, oldKey))
		stopped := errors.New("stopped")
		_, err := m.Rotate(t.Context(), func(Progress) error { return stopped })
		require.ErrorIs(t, err, stopped)
		require.Equal(t, []int{1, 2}, s.sealedWith(after, 5), "the completed batch is kept")

		s.afterWrite = func(context.Context, *database.Tx, int64) error { return stopped }
		_, err = m.Rotate(t.Context(), ignore)
		require.ErrorIs(t, err, stopped)
		require.Equal(t, []int{1, 2}, s.sealedWith(after, 5), "an uncommitted batch has no effect")

		s.afterWrite = func(context.Context, *database.Tx, int64) error { return nil }
		r, err := m.Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.EqualValues(t, 3, r.Resealed)
		require.Equal(t, []int{1, 2, 3, 4, 5}, s.sealedWith(after, 5))
	})
}

// sealedWith returns which of the first rows are sealed with the ring's current key.
func (s *shelf) sealedWith(r *keyring.Ring, rows int) (list []int) {
	s.t.Helper()
	for n := 1; n <= rows; n++ {
		if one, _ := s.texts(n); strings.Contains(one, r.Current()) {
			list = append(list, n)
		}
	}
	return list
}

func TestDigestsOfARetiredKeyStillMatch(t *testing.T) {
	const thirdKey = "the key of next year, after both"
	eachShelf(t, func(t *testing.T, s *shelf) {
		before := ring(t, oldKey)
		s.put(1, before, "hush", "")
		sealed, _ := s.texts(1)
		digest := before.Digest("token")
		require.False(t, s.withRetired(newKey).Matches("token", digest), "no key is retired yet")

		for range 2 { // a second time changes nothing
			_, err := s.module(ring(t, newKey, oldKey)).Rotate(t.Context(), ignore)
			require.NoError(t, err)
		}
		after := s.withRetired(newKey)
		require.True(t, after.Matches("token", digest))
		require.False(t, after.Matches("another", digest))
		_, err := after.Open(place("one", 1), sealed)
		require.Equal(t, keyring.MissingKey{ID: before.Current()}, err, "the retired key opens nothing")

		r, err := s.module(s.withRetired(thirdKey, newKey)).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		require.Empty(t, r.Remaining)
		third := s.withRetired(thirdKey)
		require.True(t, third.Matches("token", digest), "also after the next rotation")
		require.True(t, third.Matches("token", after.Digest("token")))
		var kept int
		require.NoError(t, s.db.Get(t.Context(), &kept, `SELECT count(*) FROM retired_keys`))
		require.Equal(t, 2, kept)
	})
}

func TestAReturningKeyIsRetiredUnderTheCurrentKey(t *testing.T) {
	const thirdKey = "the key of next year, after both"
	eachShelf(t, func(t *testing.T, s *shelf) {
		_, err := s.module(ring(t, newKey, oldKey)).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		r, err := s.module(ring(t, thirdKey, oldKey)).Rotate(t.Context(), ignore) // newKey is lost
		require.NoError(t, err)
		require.Empty(t, r.Remaining)
		require.True(t, s.withRetired(thirdKey).Matches("token", ring(t, oldKey).Digest("token")))
	})
}

func TestARetiredKeyIsReplacedUnlessItHasChanged(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		_, err := s.module(ring(t, newKey, oldKey)).Rotate(t.Context(), ignore)
		require.NoError(t, err)
		store := retired{s.db}
		rows, err := store.SealedRows(t.Context(), "00000000-0000-0000-0000-000000000000", 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		replace := func(before *string) (n int64) {
			next := "resealed"
			require.NoError(t, s.db.InTx(t.Context(), func(tx *database.Tx) (err error) {
				n, err = store.ReplaceSealed(t.Context(), tx, []contract.Resealed{{ID: rows[0].ID, Before: []*string{before}, After: []*string{&next}}})
				return err
			}))
			return n
		}
		other := "another value"
		require.Zero(t, replace(&other))
		require.EqualValues(t, 1, replace(rows[0].Texts[0]))
	})
}
