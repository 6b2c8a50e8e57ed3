package strictjson

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	known := []string{"page", "pageSize", "cursor", "status", "source", "eventType", "destinationId", "receivedFrom", "from"}
	for name, want := range map[string]string{
		"state": "status", "Status": "status", "destination_id": "destinationId", "destinationID": "destinationId", "form": "from",
		"sorce": "source", "received": "receivedFrom", "pagesize": "pageSize", "page_sise": "pageSize", "event-type": "eventType",
		"utm": "", "x": "", "": "", "q": "", "nothing": "", strings.Repeat("z", 5000): "",
	} {
		require.Equal(t, want, Nearest(name, known), name)
	}
	require.Equal(t, "is unknown; did you mean status?", DidYouMean("is unknown", "staus", known))
	require.Equal(t, "is unknown", DidYouMean("is unknown", "utm", known))
}
