package httpapi

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"integration-gateway/platform/fault"
)

// checkHost refuses a management request for a host name that is not this gateway's, if
// Config lists the names. A web page could otherwise resolve its own name to this machine
// and read the answers (DNS rebinding); localhost and IP addresses cannot be redirected
// this way.
func (s *Server) checkHost(host string) error {
	if s.cfg.Hosts == nil {
		return nil
	}
	name := hostName(host)
	_, err := netip.ParseAddr(name)
	if err == nil || name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(s.cfg.Hosts, name) {
		return nil
	}
	return fault.Forbidden.New("wrong_host", "The management API does not accept this host name: use localhost or an IP address, or set PUBLIC_BASE_URL to the host.")
}

// hostName returns a Host header's name, in lower case and without its port, brackets and
// final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}
