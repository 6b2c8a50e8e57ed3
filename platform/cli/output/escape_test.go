package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOutputEscapesControlAndInvisibleCharacters(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"visible characters are unchanged", "id\tname\nÄ Ω 漢字 🙂 …\n", "id\tname\nÄ Ω 漢字 🙂 …\n"},
		{"an escape sequence", "a\x1b[2Jb\rc\x07", `a\u001b[2Jb\u000dc\u0007`},
		{"a changed direction", "invoice\u202Efdp.exe", `invoice\u202efdp.exe`},
		{"isolates and marks", "\u2066a\u2069\u200e\u200f\u061c", `\u2066a\u2069\u200e\u200f\u061c`},
		{"zero-width characters", "ac\u200bme\ufeff\u00ad\u2060", `ac\u200bme\ufeff\u00ad\u2060`},
		{"tags beyond the first plane", "x\U000E0041", `x\udb40\udc41`},
		{"line separators", "a\u2028b\u2029", `a\u2028b\u2029`},
		{"C1 controls", "a\u009b31m", `a\u009b31m`},
		{"invalid UTF-8 is unchanged", "a\xffb", "a\xffb"},
		{"also at the end", "a\xe2\x80", "a\xe2\x80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var whole, bytewise bytes.Buffer
			all := &Writer{to: &whole}
			n, err := all.Write([]byte(c.text))
			require.NoError(t, err)
			all.Flush()
			require.Equal(t, len(c.text), n)
			require.Equal(t, c.want, whole.String())
			p := &Writer{to: &bytewise}
			for i := range len(c.text) {
				_, err := p.Write([]byte{c.text[i]})
				require.NoError(t, err)
			}
			p.Flush()
			require.Equal(t, c.want, bytewise.String(), "however the text is split")
		})
	}
}

func TestEscapedJSONKeepsItsMeaning(t *testing.T) {
	sent := map[string]string{"name": "a\u202eb\U000E0041\x1b\u200d"}
	text, err := json.Marshal(sent)
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = (&Writer{to: &out}).Write(text)
	require.NoError(t, err)
	require.NotContains(t, out.String(), "\u202e")
	var read map[string]string
	require.NoError(t, json.Unmarshal(out.Bytes(), &read))
	require.Equal(t, sent, read)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAWriteErrorIsReported(t *testing.T) {
	_, err := (&Writer{to: full{}}).Write([]byte("x"))
	require.ErrorContains(t, err, "no space left")
}
