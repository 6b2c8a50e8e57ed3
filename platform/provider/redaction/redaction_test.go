package redaction

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInvalidRedactionPaths(t *testing.T) {
	for path, want := range map[string]string{
		"$":                                      "selects the whole body",
		"":                                       "is not a JSON path",
		"data.email":                             "is not a JSON path",
		"$.a[?@.b == 1]":                         "and not ?",
		"$.a[-1]":                                "and not -1",
		"$.a[1:3]":                               "and not 1:3",
		"$" + strings.Repeat(".a", 31):           "at most 30 steps",
		"$." + strings.Repeat("a", maxPathBytes): "at most 500 bytes",
	} {
		_, err := ParsePath(path)
		require.ErrorContains(t, err, want, path)
	}
	_, err := ParsePath("$" + strings.Repeat(".a", 30))
	require.NoError(t, err)
}
