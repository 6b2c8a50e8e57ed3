package egress

import (
	"net/url"
	"strconv"
	"strings"

	"integration-gateway/platform/fault"
)

const maxURL = 2048

// CheckURL returns nil if raw is a valid destination URL, or else a fault.Invalid that says
// what is wrong without repeating the URL. The host's address is checked when a connection
// is made: names may resolve to other addresses later.
func CheckURL(raw string) error {
	if len(raw) > maxURL {
		return badURL("must have at most %d bytes", maxURL)
	}
	if strings.ContainsAny(raw, " \\") {
		return badURL("must not contain blanks or backslashes")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return badURL("is not well-formed") // the error would contain the password
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return badURL("must start with https:// or http://")
	case u.Opaque != "" || u.Hostname() == "":
		return badURL("must name a host")
	case u.User != nil:
		return badURL("must not contain a user or password")
	case strings.Contains(raw, "#"):
		return badURL("must not have a fragment (#…); it would never be sent")
	case strings.Contains(u.Hostname(), "%"):
		return badURL("must not have a zone in its address")
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && !validPort(u.Port()):
		return badURL("must have a port from 1 to 65535, or none")
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65535
}

func badURL(format string, args ...any) error {
	return fault.Invalid.New("bad_url", "The URL "+format+".", args...)
}
