//go:build failpoint

package failpoint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	list, err := parse("after-claim=kill@5,before-ack=hang")
	require.NoError(t, err)
	require.Equal(t, "kill", list[AfterClaim].action)
	require.EqualValues(t, 5, list[AfterClaim].at)
	require.EqualValues(t, 1, list[BeforeAck].at, "without a count, the first hit")
	for _, wrong := range []string{"after-claim", "after-claim=explode", "after-claim=kill@0", "after-claim=kill@soon"} {
		_, err := parse(wrong)
		require.Error(t, err, wrong)
	}
}
