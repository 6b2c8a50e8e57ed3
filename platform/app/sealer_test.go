package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func mustSealer(t *testing.T, key string) sealer {
	t.Helper()
	s, err := newSealer(secret.New(key))
	require.NoError(t, err)
	return s
}

func TestSealer(t *testing.T) {
	mine, other, none := mustSealer(t, strings.Repeat("k", 32)), mustSealer(t, strings.Repeat("o", 32)), mustSealer(t, "")
	stored, err := mine.Seal(secret.New("acme-demo-secret"))
	require.NoError(t, err)
	require.NotContains(t, stored, "acme-demo-secret")
	again, err := mine.Seal(secret.New("acme-demo-secret"))
	require.NoError(t, err)
	require.NotEqual(t, stored, again, "equal secrets do not look equal")

	opened, err := mine.Open(stored)
	require.NoError(t, err)
	require.Equal(t, "acme-demo-secret", opened.Reveal())

	_, err = other.Open(stored)
	require.ErrorIs(t, err, errSealed, "another key opens nothing")
	_, err = none.Open(stored)
	require.ErrorIs(t, err, errSealed, "nor does none")
	_, err = mine.Open(stored[:len(stored)-4])
	require.ErrorIs(t, err, errSealed, "a text that was cut is refused")
	_, err = mine.Open(sealed + "!")
	require.Error(t, err)

	plain, err := none.Seal(secret.New("as it is"))
	require.NoError(t, err)
	require.Equal(t, "as it is", plain, "without a key secrets are stored as they are")
	opened, err = mine.Open(plain)
	require.NoError(t, err)
	require.Equal(t, "as it is", opened.Reveal(), "and can be read when there is one")
	_, err = none.Seal(secret.New(sealed + "x"))
	require.Error(t, err, "what looks sealed could not be told apart")
}
