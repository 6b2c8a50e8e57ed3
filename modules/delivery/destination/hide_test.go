package destination

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

func TestASecretIsFoundHoweverItIsWritten(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	const letters = `abcXYZ0189+/=&%"'<>\ ?#~._-`
	for range 200 {
		text := make([]byte, longSecret+chance.IntN(40))
		for i := range text {
			text[i] = letters[chance.IntN(len(letters))]
		}
		found := newEchoes([]string{string(text)})
		for way, write := range testkit.Encodings {
			got := found.hide(`{"authorization": "Bearer ` + write(string(text)) + `", "more": true}`)
			require.Regexp(t, `^\{"authorization": "Bearer (?s:.{0,4})\[redacted\](?s:.{0,3})(=|%3D){0,2}", "more": true\}$`, got, "%s: %q", way, text)
		}
	}
}

func TestWhatIsHiddenOfAnAnswer(t *testing.T) {
	found := newEchoes([]string{"hunter2-is-long", "pw", "", "hunter2"})
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"no secret", `{"ok":true}`, `{"ok":true}`},
		{"a long one within a word", "xhunter2-is-longx", "x[redacted]x"},
		{"several", "hunter2-is-long,hunter2-is-long", "[redacted],[redacted]"},
		{"the longer of two", "hunter2-is-long", "[redacted]"},
		{"the shorter of two", "hunter2-is-lost", "[redacted]-is-lost"},
		{"a short one by itself", `{"password":"pw"}`, `{"password":"[redacted]"}`},
		{"a short one within a word", "the spwan of pwned", "the spwan of pwned"},
		{"the beginning of one at the end", "token hunter2-is-l", "token [redacted]"},
		{"too little of it to tell", "xhun", "xhun"},
		{"the middle of a written character at the end", "token hunter2%2", "token [redacted]"},
		{"what only looks like a written character", "100% & 5\\", "100% & 5\\"},
		{"bytes that are no text", "\xffhunter2-is-long\xfe", "\xff[redacted]\xfe"},
	} {
		require.Equal(t, c.want, found.hide(c.text), c.name)
	}
}

// FuzzHide shows that no text makes it fail, or leaves the secret in it.
func FuzzHide(f *testing.F) {
	found := newEchoes([]string{"s3cr3t-of-ours", "short"})
	f.Add("%73&#x33;\\u0063", "s3cr3t-of-ours")
	f.Fuzz(func(t *testing.T, before, after string) {
		require.NotContains(t, found.hide(before+"s3cr3t-of-ours"+after), "s3cr3t-of-ours")
	})
}

func BenchmarkHide(b *testing.B) {
	found := newEchoes([]string{"a-token-of-forty-characters-or-something", "whsec_" + strings.Repeat("abcd", 10), "gateway:password"})
	body := strings.Repeat(`{"error":"the order is not known","id":12345}`, 16<<10/45)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		found.hide(body)
	}
}
