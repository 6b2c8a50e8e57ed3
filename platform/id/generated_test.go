package id

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGeneratedCorrelationIDs(t *testing.T) {
	for _, text := range []string{New(), "4bf92f3577b34da6a3ce929d0e0e4736", "00F067AA0BA902B7", "01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		require.True(t, Generated(text), text)
	}
	for _, text := range []string{"", "ada.lovelace", "trace-1", "4bf92f3577b34da6a3ce929d0e0e473", "adalovelaceadalo", "01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FAU"} {
		require.False(t, Generated(text), text)
	}
}
