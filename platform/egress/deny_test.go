package egress

import (
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDenyWinsOverAllow(t *testing.T) {
	allow, err := ParseAllow([]string{"10.0.0.0/8", "0.0.0.0/0", "payroll.corp.example", "crm.corp.example"})
	require.NoError(t, err)
	deny, err := ParseDeny([]string{"10.1.0.0/16", "203.0.113.7", "2606:4700::/32", "Payroll.Corp.Example.", "evil.example"})
	require.NoError(t, err)
	r := rules{allow, deny}
	for text, want := range map[string]Refusal{
		"10.0.255.255": public, "10.1.0.0": Denied, "10.1.255.255": Denied, "10.2.0.0": public,
		"203.0.113.6": public, "203.0.113.7": Denied, "203.0.113.8": public,
		"2606:46ff:ffff::": public, "2606:4700::": Denied, "2606:4700:ffff::": Denied, "2606:4701::": public,
		"::ffff:10.1.0.1": Denied, "64:ff9b::10.1.0.1": Denied, "2002:a01:1::": Denied, "::10.1.0.1": Denied,
		"2606:4700::1%eth0": Denied,
	} {
		for _, named := range []bool{false, true} {
			got, refused := r.address(netip.MustParseAddr(text), named)
			require.Equal(t, want, got, "%s, named %t", text, named)
			require.Equal(t, want != public, refused, text)
		}
	}
	for name, want := range map[string]Refusal{
		"payroll.corp.example": Denied, "PAYROLL.corp.example.": Denied, "a.payroll.corp.example": Denied,
		"crm.corp.example": public, "notpayroll.corp.example": public, "corp.example": public,
		"evil.example": Denied, "x.y.evil.example": Denied, "notevil.example": public, "evil.example.org": public,
	} {
		got, named := r.host(name)
		require.Equal(t, want, got, name)
		require.Equal(t, name == "crm.corp.example", named, name)
	}
	_, refused := rules{allow: allow}.address(netip.Addr{}, true)
	require.True(t, refused, "no address")
}

func TestDeniedAddressesAreNeverConnectedTo(t *testing.T) {
	u, err := url.Parse(serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	require.NoError(t, err)
	for name, c := range map[string]struct{ allow, deny, host string }{
		"an address":                 {"127.0.0.0/8", "127.0.0.1", "127.0.0.1"},
		"a name":                     {"localhost", "localhost", "localhost"},
		"an address by a name":       {"localhost", "127.0.0.0/8,::1", "localhost"},
		"an address in another form": {"127.0.0.0/8", "127.0.0.1", "[::ffff:127.0.0.1]"},
		"a name in another spelling": {"localhost", "localhost", "LOCALHOST."},
	} {
		t.Run(name, func(t *testing.T) {
			allow, err := ParseAllow(entries(c.allow))
			require.NoError(t, err)
			deny, err := ParseDeny(entries(c.deny))
			require.NoError(t, err)
			client := New(Config{Allow: allow, Deny: deny})
			t.Cleanup(client.Close)
			_, err = post(t, client, "http://"+c.host+":"+u.Port(), "")
			var refusal Refusal
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, Denied, refusal)
			require.Equal(t, map[Refusal]int64{Denied: 1}, client.Refused(), "counted once, whatever the number of addresses")
		})
	}
}
