package keyring

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func ring(t *testing.T, current string, others ...string) *Ring {
	t.Helper()
	var rest []secret.Value
	for _, text := range others {
		rest = append(rest, secret.New(text))
	}
	r, err := New(secret.New(current), rest)
	require.NoError(t, err)
	return r
}

func sealedBy(t *testing.T, r *Ring, text string) string {
	t.Helper()
	stored, err := r.Seal(secret.New(text))
	require.NoError(t, err)
	return stored
}

func opened(t *testing.T, r *Ring, stored string) string {
	t.Helper()
	value, err := r.Open(stored)
	require.NoError(t, err)
	return value.Reveal()
}

var k, o, p = strings.Repeat("k", 32), strings.Repeat("o", 32), strings.Repeat("p", 32)

func TestSealingAndOpening(t *testing.T) {
	mine, other, none := ring(t, k), ring(t, o), ring(t, "")
	stored := sealedBy(t, mine, "acme-demo-secret")
	require.NotContains(t, stored, "acme-demo-secret")
	require.NotEqual(t, stored, sealedBy(t, mine, "acme-demo-secret"), "equal secrets do not look equal")
	require.Equal(t, mine.Current(), KeyOf(stored))
	require.Equal(t, "acme-demo-secret", opened(t, mine, stored))

	for name, r := range map[string]*Ring{"another key opens nothing": other, "nor does none": none} {
		_, err := r.Open(stored)
		require.Equal(t, MissingKey{mine.Current()}, err, name)
		require.ErrorContains(t, err, mine.Current())
	}
	for name, text := range map[string]string{
		"one that was cut": stored[:len(stored)-4], "no base64": stored[:len(stored)-4] + "!!!!", "without a key": "sealed:v1:abc",
		"with a key that cannot be": "sealed:v1:xyz:abc", "under another's id": strings.Replace(stored, mine.Current(), other.Current(), 1),
	} {
		_, err := ring(t, k, o).Open(text)
		require.ErrorIs(t, err, ErrDamaged, name)
	}
	require.Equal(t, Damaged, KeyOf("sealed:v1:abc"))

	plain := sealedBy(t, none, "as it is")
	require.Equal(t, "as it is", plain, "without a key secrets are stored as they are")
	require.Equal(t, "as it is", opened(t, mine, plain), "and can be read when there is one")
	require.Empty(t, KeyOf(plain))
	_, err := none.Seal(secret.New(sealed + "x"))
	require.Error(t, err, "what looks sealed could not be told apart")
	_, err = New(secret.Value{}, []secret.Value{secret.New(k)})
	require.Error(t, err, "one that opens, and none that seals")
}

func TestAKeyIsChanged(t *testing.T) {
	before := ring(t, k)
	old, both := sealedBy(t, before, "hush"), ring(t, o, k, k, o)
	require.Equal(t, []string{both.Current(), before.Current()}, both.Opens(), "each once")
	require.Equal(t, "hush", opened(t, both, old))
	again, err := both.Reseal(old)
	require.NoError(t, err)
	require.Equal(t, both.Current(), KeyOf(again))
	require.Equal(t, "hush", opened(t, ring(t, o), again), "the old one can go")
	same, err := both.Reseal(again)
	require.NoError(t, err)
	require.Equal(t, again, same, "what is under it already stays as it is")
	plain, err := both.Reseal("hush")
	require.NoError(t, err)
	require.Equal(t, "hush", opened(t, both, plain))
	require.Equal(t, both.Current(), KeyOf(plain), "what was stored without a key is sealed too")
	_, err = ring(t, p).Reseal(old)
	require.Equal(t, MissingKey{before.Current()}, err)
}

func TestWhatIsLeftOfAKeyRecognisesAndOpensNothing(t *testing.T) {
	before, both, after := ring(t, k), ring(t, o, k), ring(t, o)
	digest, stored := before.Digest("token"), sealedBy(t, before, "hush")
	require.True(t, before.Matches("token", digest))
	require.False(t, before.Matches("nekot", digest))
	require.True(t, both.Matches("token", digest))
	require.False(t, after.Matches("token", digest), "the key is not there")
	require.Equal(t, before.Current(), DigestKey(digest))
	require.NotEqual(t, digest, both.Digest("token"), "it is made under the current one")
	require.True(t, after.Matches("token", ring(t, "").Digest("token")), "one that was made without a key")

	rest, err := both.Retire()
	require.NoError(t, err)
	require.Len(t, rest, 1)
	require.Equal(t, before.Current(), rest[0].ID)
	require.NoError(t, after.Adopt(rest[0]))
	require.NoError(t, after.Adopt(rest[0]))
	require.True(t, after.Matches("token", digest))
	require.Equal(t, append(after.AuditKeys()[:1:1], before.AuditKeys()...), after.AuditKeys(), "and the seals' key, once")
	require.Equal(t, []string{both.Current()}, after.Opens())
	_, err = after.Open(stored)
	require.Equal(t, MissingKey{before.Current()}, err)

	next := ring(t, p, o)
	require.NoError(t, next.Adopt(rest[0]))
	again, err := next.Retire()
	require.NoError(t, err)
	require.Len(t, again, 2, "what was retired before is handed on")
	require.Error(t, ring(t, k+"x").Adopt(rest[0]))
	require.Empty(t, ring(t, "").AuditKeys())
}
