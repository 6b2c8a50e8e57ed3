package egress

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRefusalsBeforeResolution(t *testing.T) {
	allow, err := ParseAllow([]string{"10.1.0.0/16", "inside.example", "127.0.0.0/8"})
	require.NoError(t, err)
	deny, err := ParseDeny([]string{"198.18.0.0/15", "forbidden.example", "8.8.8.8"})
	require.NoError(t, err)
	standard, custom := New(Config{}), New(Config{Allow: allow, Deny: deny})
	for _, c := range []struct {
		host             string
		standard, custom Refusal
	}{
		{"example.com", 0, 0},
		{"93.184.216.34", 0, 0},
		{"10.1.2.3", Private, 0},
		{"10.2.2.3", Private, Private},
		{"169.254.169.254", Metadata, Metadata},
		{"127.0.0.1", Loopback, 0},
		{"[::1]", Loopback, Loopback},
		{"[::ffff:127.0.0.1]", Loopback, 0},
		{"[::ffff:10.2.0.1]", Private, Private},
		{"[64:ff9b::a02:1]", Private, Private},
		{"[fd00:ec2::254]", Metadata, Metadata},
		{"localhost", Loopback, 0},
		{"LOCALHOST.", Loopback, 0},
		{"db.localhost", Loopback, 0},
		{"localhost.example", 0, 0},
		{"inside.example", 0, 0},
		{"forbidden.example", 0, Denied},
		{"a.FORBIDDEN.example.", 0, Denied},
		{"8.8.8.8", 0, Denied},
		{"127.1", Unknown, Unknown},
		{"2130706433", Unknown, Unknown},
		{"0x7f000001", Unknown, Unknown},
		{"0x7f.1", Unknown, Unknown},
		{"0177.0.0.1", Unknown, Unknown},
		{"127.0.0.1.", Unknown, Unknown},
		{"1.example", 0, 0},
	} {
		require.Equal(t, c.standard, standard.Refuses("http://"+c.host+":8080/hook?a=b"), c.host)
		require.Equal(t, c.custom, custom.Refuses("https://"+c.host), c.host)
	}
}
