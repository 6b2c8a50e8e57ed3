package egress

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func TestParseAllow(t *testing.T) {
	for _, c := range []struct {
		name, entry string
		network     string
		host        string
		wrong       string
	}{
		{"a network", "10.1.0.0/16", "10.1.0.0/16", "", ""},
		{"an IPv6 network", "fd00::/8", "fd00::/8", "", ""},
		{"an address", "127.0.0.1", "127.0.0.1/32", "", ""},
		{"an IPv6 address", "::1", "::1/128", "", ""},
		{"IPv4 in IPv6 is IPv4", "::ffff:10.0.0.1", "10.0.0.1/32", "", ""},
		{"everything", "0.0.0.0/0", "0.0.0.0/0", "", ""},
		{"a name", "sink", "", "sink", ""},
		{"a name with dots, in capitals", "Sink.Internal.Example", "", "sink.internal.example", ""},
		{"a name with its final dot", "sink.example.", "", "sink.example", ""},
		{"an underscore, as in compose names", "app_sink_1", "", "app_sink_1", ""},
		{"blanks around it", "  localhost ", "", "localhost", ""},
		{"nothing", "", "", "", ""},
		{"an address beyond the prefix", "10.1.2.3/16", "", "", "write 10.1.0.0/16"},
		{"a prefix that is too long", "10.0.0.0/33", "", "", "is not a network"},
		{"a mapped network", "::ffff:10.0.0.0/104", "", "", "write it as IPv4"},
		{"a zone", "fe80::1%eth0", "", "", "zone"},
		{"a port", "localhost:3000", "", "", "leave out scheme, port"},
		{"a URL", "http://localhost", "", "", "leave out scheme, port"},
		{"a wildcard", "*.example.com", "", "", "wildcards"},
		{"an invalid address", "10.0.0.256", "", "", "is not a network"},
		{"an address cut short", "10.1", "", "", "is not a network"},
		{"an address in one number", "2130706433", "", "", "is not a network"},
		{"an address in hex", "0x7f000001", "", "", "is not a network"},
		{"an empty label", "a..b", "", "", "or a host name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			allow, err := ParseAllow([]string{c.entry})
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.network != "", len(allow.Networks) == 1)
			if c.network != "" {
				require.Equal(t, c.network, allow.Networks[0].String())
			}
			require.Equal(t, c.host, strings.Join(allow.Hosts, ","))
		})
	}
	t.Run("case and a final dot do not matter", func(t *testing.T) {
		allow, err := ParseAllow([]string{"sink.example"})
		require.NoError(t, err)
		require.True(t, allow.host("Sink.Example."))
		require.False(t, allow.host("a.sink.example"), "names below it do not match")
	})
	t.Run("all mistakes are reported at once", func(t *testing.T) {
		_, err := ParseAllow([]string{"10.0.0.0/8", "10.0.0.0/99", "a b", "*"})
		require.ErrorContains(t, err, `"10.0.0.0/99"`)
		require.ErrorContains(t, err, `"a b"`)
		require.ErrorContains(t, err, `"*"`)
	})
}

func TestCheckURL(t *testing.T) {
	for _, url := range []string{
		"https://example.com", "http://example.com/", "https://example.com:8443/hook?token=a%20b", "HTTPS://EXAMPLE.com/x",
		"http://127.0.0.1:3000/sink", "http://[::1]:1/", "https://example.com:65535", "https://bücher.example/",
		"https://example.com/" + strings.Repeat("x", 2048-20),
	} {
		require.NoError(t, CheckURL(url), url)
	}
	for url, says := range map[string]string{
		"":                              "https://",
		"example.com/hook":              "https://",
		"//example.com/hook":            "https://",
		"ftp://example.com":             "https://",
		"file:///etc/passwd":            "https://",
		"gopher://example.com":          "https://",
		"javascript:alert(1)":           "https://",
		"https:example.com":             "name a host",
		"https://":                      "name a host",
		"https:///path":                 "name a host",
		"https://:443/":                 "name a host",
		"https://user@example.com":      "user or password",
		"https://u:hunter2@example.com": "user or password",
		"https://@example.com":          "user or password",
		"https://example.com/#part":     "fragment",
		"https://example.com/#":         "fragment",
		"https://example.com:0":         "port",
		"https://example.com:65536":     "port",
		"https://example.com:":          "port",
		"https://u:hunter2@a:port":      "well-formed",
		"https://exa mple.com":          "blanks",
		"https://example.com\\@evil":    "backslashes",
		"https://example.com/\r\nX:y":   "well-formed",
		"https://example.com/%zz":       "well-formed",
		"https://[fe80::1%25eth0]/":     "zone",
		"https://[::1/":                 "well-formed",
		"https://example.com/" + strings.Repeat("x", 2048-19): "2048",
	} {
		err := CheckURL(url)
		require.ErrorContains(t, err, says, url)
		require.True(t, fault.Is(err, fault.Invalid))
		require.NotContains(t, err.Error(), "hunter2")
	}
}
