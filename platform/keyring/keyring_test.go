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
	r, err := New(Config{Current: secret.New(current), Others: rest})
	require.NoError(t, err)
	return r
}

// here is where these tests store what they seal.
var here = secret.Place{Table: "integration_secrets", Column: "secret", Row: "01a20d22-776d-7693-b3eb-b9fe0a44c93d"}

// readingPlain returns a ring that reads plain texts.
func readingPlain(t *testing.T, current string) *Ring {
	t.Helper()
	r, err := New(Config{Current: secret.New(current), Plain: true})
	require.NoError(t, err)
	return r
}

func TestASealedTextOpensOnlyInItsPlace(t *testing.T) {
	r := ring(t, k)
	stored := sealedBy(t, r, "hush")
	require.Equal(t, "hush", opened(t, r, stored))
	for name, change := range map[string]func(*secret.Place){
		"another row": func(p *secret.Place) { p.Row = "01a20d22-776d-7693-b3eb-b9fe0a44c93e" }, "another table": func(p *secret.Place) { p.Table = "destinations" },
		"another column": func(p *secret.Place) { p.Column = "old_secret" }, "no place": func(p *secret.Place) { *p = secret.Place{} },
	} {
		there := here
		change(&there)
		_, err := r.Open(there, stored)
		require.ErrorIs(t, err, ErrDamaged, name)
		_, err = ring(t, o, k).Reseal(there, stored)
		require.ErrorIs(t, err, ErrDamaged, "nor is it resealed in %s", name)
	}
}

func sealedBy(t *testing.T, r *Ring, text string) string {
	t.Helper()
	stored, err := r.Seal(here, secret.New(text))
	require.NoError(t, err)
	return stored
}

func opened(t *testing.T, r *Ring, stored string) string {
	t.Helper()
	value, err := r.Open(here, stored)
	require.NoError(t, err)
	return value.Reveal()
}

var k, o, p = strings.Repeat("k", 32), strings.Repeat("o", 32), strings.Repeat("p", 32)

func TestSealingAndOpening(t *testing.T) {
	mine, other, none := ring(t, k), ring(t, o), ring(t, "")
	stored := sealedBy(t, mine, "acme-demo-secret")
	require.NotContains(t, stored, "acme-demo-secret")
	require.NotEqual(t, stored, sealedBy(t, mine, "acme-demo-secret"), "equal secrets have different ciphertexts")
	require.Equal(t, mine.Current(), KeyOf(stored))
	require.Equal(t, "acme-demo-secret", opened(t, mine, stored))

	for name, r := range map[string]*Ring{"another key cannot open it": other, "nor can a ring without keys": none} {
		_, err := r.Open(here, stored)
		require.Equal(t, MissingKey{mine.Current()}, err, name)
		require.ErrorContains(t, err, mine.Current())
	}
	for name, text := range map[string]string{
		"one that was cut": stored[:len(stored)-4], "no base64": stored[:len(stored)-4] + "!!!!", "without a key": "sealed:v1:abc",
		"with a key that cannot be": "sealed:v1:xyz:abc", "under another's id": strings.Replace(stored, mine.Current(), other.Current(), 1),
	} {
		_, err := ring(t, k, o).Open(here, text)
		require.ErrorIs(t, err, ErrDamaged, name)
	}
	require.Equal(t, Damaged, KeyOf("sealed:v1:abc"))

	plain := sealedBy(t, none, "plain")
	require.Equal(t, "plain", plain, "without a key secrets are stored as plain text")
	require.Equal(t, "plain", opened(t, none, plain))
	_, err := mine.Open(here, plain)
	require.ErrorIs(t, err, ErrPlain, "with a key they are refused")
	_, err = mine.Reseal(here, plain)
	require.ErrorIs(t, err, ErrPlain, "and a rotation does not adopt them")
	require.False(t, mine.ReadsPlain())
	require.Equal(t, "plain", opened(t, readingPlain(t, k), plain), "unless they are expected")
	require.Empty(t, KeyOf(plain))
	_, err = none.Seal(here, secret.New(sealed+"x"))
	require.Error(t, err, "a value that looks sealed would be ambiguous")
	_, err = New(Config{Others: []secret.Value{secret.New(k)}})
	require.Error(t, err, "a key to decrypt, but none to encrypt")
}

func TestPlainTextsAreRefusedIfAKeyIsRequired(t *testing.T) {
	r, err := New(Config{NeedsKey: true})
	require.NoError(t, err)
	_, err = r.Seal(here, secret.New("hush"))
	require.ErrorContains(t, err, "set SECRETS_KEY")
	r, err = New(Config{Current: secret.New(k), NeedsKey: true})
	require.NoError(t, err)
	require.NotEqual(t, "hush", sealedBy(t, r, "hush"))
}

func TestRotatingToAnotherKey(t *testing.T) {
	before := ring(t, k)
	old, both := sealedBy(t, before, "hush"), ring(t, o, k, k, o)
	require.Equal(t, []string{both.Current(), before.Current()}, both.Opens(), "each once")
	require.Equal(t, "hush", opened(t, both, old))
	again, err := both.Reseal(here, old)
	require.NoError(t, err)
	require.Equal(t, both.Current(), KeyOf(again))
	require.Equal(t, "hush", opened(t, ring(t, o), again), "the old key is no longer needed")
	same, err := both.Reseal(here, again)
	require.NoError(t, err)
	require.Equal(t, again, same, "what is under the current key stays unchanged")
	plain, err := readingPlain(t, o).Reseal(here, "hush")
	require.NoError(t, err)
	require.Equal(t, "hush", opened(t, both, plain))
	require.Equal(t, both.Current(), KeyOf(plain), "plain texts are encrypted too")
	_, err = ring(t, p).Reseal(here, old)
	require.Equal(t, MissingKey{before.Current()}, err)
}

func TestARetiredKeyVerifiesButDecryptsNothing(t *testing.T) {
	before, both, after := ring(t, k), ring(t, o, k), ring(t, o)
	digest, stored := before.Digest("token"), sealedBy(t, before, "hush")
	require.True(t, before.Matches("token", digest))
	require.False(t, before.Matches("nekot", digest))
	require.True(t, both.Matches("token", digest))
	require.False(t, after.Matches("token", digest), "the key is missing")
	require.Equal(t, before.Current(), DigestKey(digest))
	require.NotEqual(t, digest, both.Digest("token"), "digests are made with the current key")
	require.True(t, after.Matches("token", ring(t, "").Digest("token")), "a digest made without a key")

	rest, err := both.Retire()
	require.NoError(t, err)
	require.Len(t, rest, 1)
	require.Equal(t, before.Current(), rest[0].ID)
	require.NoError(t, after.Adopt(rest[0]))
	require.NoError(t, after.Adopt(rest[0]))
	require.True(t, after.Matches("token", digest))
	require.Equal(t, append(after.AuditKeys()[:1:1], before.AuditKeys()...), after.AuditKeys(), "and the seals' key, once")
	require.Equal(t, []string{both.Current()}, after.Opens())
	_, err = after.Open(here, stored)
	require.Equal(t, MissingKey{before.Current()}, err)

	next := ring(t, p, o)
	require.NoError(t, next.Adopt(rest[0]))
	again, err := next.Retire()
	require.NoError(t, err)
	require.Len(t, again, 2, "keys retired earlier are passed on")
	require.Error(t, ring(t, k+"x").Adopt(rest[0]))
	require.Empty(t, ring(t, "").AuditKeys())
}
