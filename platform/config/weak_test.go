package config

import (
	"crypto/rand"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeysThatAreEasilyGuessed(t *testing.T) {
	for key, want := range map[string]bool{
		"aaaaaaaaaaaaaaaa": true, "0123456789abcdef": true, "abcdefghijklmnopqrstuvwxyz": true, "abababababababab": true,
		"secretsecretsecret": true, "1111222233334444": true, "zyxwvutsrqponmlkj": true,
		"b7Qz-29fKx_0LmWd": false, "f3a9c07d5e21b846": false, "prod-key-0123456789": false, "correct-horse-battery-staple": false,
	} {
		require.Equal(t, want, weak(key), key)
	}
	for range 1000 {
		var bytes [16]byte
		_, _ = rand.Read(bytes[:])
		require.False(t, weak(hex.EncodeToString(bytes[:])), "%x: one that was made at random", bytes)
	}
}
