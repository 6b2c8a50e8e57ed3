package fault

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDetailIsOnlyForOperators(t *testing.T) {
	err := Unauthorized.New("outside_tolerance", "The credentials are not valid.").Because("%d s outside tolerance", 412)
	require.Equal(t, "412 s outside tolerance", err.Detail())
	require.Equal(t, "The credentials are not valid.", err.Error())
	plain := Invalid.New("no_id", "There is no id at %s.", "$.id").At("id")
	require.Equal(t, "There is no id at $.id.", plain.Detail(), "without one it is the message")
	require.Equal(t, "There is no id at $.id.", plain.Fields[0].Message)
}
