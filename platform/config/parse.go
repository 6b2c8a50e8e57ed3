package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/egress"
	"integration-gateway/platform/hostlist"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/telemetry"
)

// Each function here gives a reader that checks a text and puts it in place.

func plain(into *string) reader {
	return reader{"host name or address", func(text string) error {
		if strings.ContainsAny(text, " \t\r\n/") {
			return wrong(fmt.Sprintf("%q is not a host", text), "write an address such as 0.0.0.0, or a host name")
		}
		*into = text
		return nil
	}}
}

func integer[N int | int64](into *N, low, high int64) reader {
	return reader{fmt.Sprintf("integer from %d to %d", low, high), func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < low || n > high {
			return wrong(fmt.Sprintf("%q is not a whole number in its range", text), "write one from %d to %d", low, high)
		}
		*into = N(n)
		return nil
	}}
}

func boolean(into *bool) reader {
	return reader{"`true` or `false`", func(text string) error {
		if text != "true" && text != "false" {
			return wrong(fmt.Sprintf("%q is neither true nor false", text), "write true or false")
		}
		*into = text == "true"
		return nil
	}}
}

func onOff(into *bool) reader {
	return reader{choice("on", "off"), func(text string) error {
		var name string
		err := oneOf(&name, "on", "off").set(text)
		*into = name == "on"
		return err
	}}
}

func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}

func duration(into *time.Duration, unit time.Duration, low, high int64) reader {
	return reader{fmt.Sprintf("integer from %d to %d, %s", low, high, units[unit]), func(text string) error {
		var n int64
		if err := integer(&n, low, high).set(text); err != nil {
			return err
		}
		*into = time.Duration(n) * unit
		return nil
	}}
}

const day = 24 * time.Hour

// age reads days or hours, such as 90d or 36h; "" and 0 mean for ever.
func age(into *time.Duration) reader {
	return reader{"age in days or hours, such as `90d` or `36h`, up to `36500d`", func(text string) error {
		*into = 0
		if text == "" || text == "0" {
			return nil
		}
		digits, unit := text[:len(text)-1], map[byte]time.Duration{'d': day, 'h': time.Hour}[text[len(text)-1]]
		n, err := strconv.ParseInt(digits, 10, 64)
		if most := 36_500 * day; err != nil || unit == 0 || n < 1 || n > int64(most/unit) {
			return wrong(fmt.Sprintf("%q is not an age", text), "write days or hours such as 90d or 36h, at most 36500d; 0 keeps records for ever")
		}
		*into = time.Duration(n) * unit
		return nil
	}}
}

func oneOf(into *string, allowed ...string) reader {
	return reader{choice(allowed...), func(text string) error {
		if !slices.Contains(allowed, text) {
			return wrong(fmt.Sprintf("%q is unknown", text), "write one of %s", strings.Join(allowed, ", "))
		}
		*into = text
		return nil
	}}
}

func environment(into *Env) reader {
	return reader{choice(string(Development), string(Test), string(Production)), func(text string) error {
		var name string
		err := oneOf(&name, string(Development), string(Test), string(Production)).set(text)
		*into = Env(name)
		return err
	}}
}

func level(into *string) reader {
	return reader{choice("debug", "info", "warn", "error", "silent"), func(text string) error {
		if _, err := telemetry.ParseLevel(text); err != nil {
			return wrong(fmt.Sprintf("%q is unknown", text), "write one of debug, info, warn, error, silent")
		}
		*into = text
		return nil
	}}
}

func key(into *secret.Value, atLeast int) reader {
	return reader{fmt.Sprintf("text of at least %d printable ASCII characters without spaces", atLeast), func(text string) error {
		switch {
		case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
			return wrong("it holds characters that do not survive an HTTP header", "use letters, digits and punctuation, without spaces")
		case len(text) < atLeast:
			return wrong("it has "+characters(len(text)), "use at least %d, for example from: openssl rand -hex 32", atLeast)
		}
		*into = secret.New(text)
		return nil
	}}
}

// serverURL takes a URL that may hold a password: nothing of it is shown.
func serverURL(into *secret.Value, schemes ...string) reader {
	return reader{"URL that starts with `" + strings.Join(schemes, "://` or `") + "://`", func(text string) error {
		if text == "" {
			*into = secret.Value{}
			return nil
		}
		fix := "start it with " + strings.Join(schemes, ":// or ") + "://"
		s := scheme(text)
		if !slices.Contains(schemes, s) {
			return wrong("its scheme is none of those this program has drivers for", "%s", fix)
		}
		if s == "sqlite" || s == "unix" { // a path, which may hold what a URL may not
			if strings.TrimPrefix(text, s+"://") == "" {
				return wrong("it names no file", "write %s://path/to/file", s)
			}
		} else if err := serverURLs(s, text); err != nil {
			return err
		}
		*into = secret.New(text)
		return nil
	}}
}

// serverURLs checks a URL, and refuses a list of hosts where a connection cannot choose.
func serverURLs(scheme, text string) error {
	urls := hostlist.URLs(text)
	if len(urls) > 1 && strings.HasPrefix(scheme, "http") {
		return wrong("it names several hosts, and one connection goes to one host", "name one host, such as a DNS name that follows the server")
	}
	for _, one := range urls {
		u, err := url.Parse(one)
		if err != nil || u.Hostname() == "" && (len(urls) > 1 || !strings.Contains(u.RawQuery, "host=")) {
			return wrong("it is not well-formed or names no host", "write %s://user:password@host:port/…, with %%XX for special characters in the password", scheme)
		}
	}
	return nil
}

func scheme(text string) string {
	s, _, found := strings.Cut(text, "://")
	if !found {
		return ""
	}
	return strings.ToLower(s)
}

func baseURL(into *string) reader {
	return reader{"URL that starts with `http://` or `https://`", func(text string) error {
		if text == "" {
			return nil
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return wrong("it is not a base URL", "write one such as https://hooks.example.com, without user, query or fragment")
		}
		*into = strings.TrimRight(text, "/")
		return nil
	}}
}

func address(into *string) reader {
	return reader{"address and port, such as `127.0.0.1:3001`", func(text string) error {
		*into = ""
		if text == "" {
			return nil
		}
		_, port, err := net.SplitHostPort(text)
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n > 65535 {
			return wrong(fmt.Sprintf("%q is not host:port", text), "write one such as 127.0.0.1:3001, or leave it empty to turn the listener off")
		}
		*into = text
		return nil
	}}
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

func networks(into *[]netip.Prefix) reader {
	return reader{"list of networks and addresses", func(text string) error {
		*into = nil
		for _, part := range list(text) {
			prefix, err := network(part)
			if err != nil {
				return wrong(fmt.Sprintf("%q is not a network", part), "write addresses or networks such as 10.0.0.0/8, separated by commas")
			}
			*into = append(*into, prefix)
		}
		return nil
	}}
}

// proxyURL takes the URL of a proxy, which may hold a password: nothing of it is shown.
func proxyURL(into *secret.Value) reader {
	return reader{"URL that starts with `http://` or `https://`", func(text string) error {
		if err := serverURL(into, "http", "https").set(text); err != nil || text == "" {
			return err
		}
		if u, err := url.Parse(text); err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			*into = secret.Value{}
			return wrong("it holds more than a proxy's address", "write http://user:password@host:port, without path and query")
		}
		return nil
	}}
}

func refusedDestinations(into *egress.Deny) reader {
	return reader{"list of networks, addresses and host names", func(text string) error {
		deny, err := egress.ParseDeny(list(text))
		if err != nil {
			return wrong(strings.ReplaceAll(err.Error(), "\n", "; "), "write networks such as 203.0.113.0/24 and hosts such as example.net, separated by commas")
		}
		*into = deny
		return nil
	}}
}

func destinations(into *egress.Allow) reader {
	return reader{"list of networks, addresses and host names", func(text string) error {
		allow, err := egress.ParseAllow(list(text))
		if err != nil {
			return wrong(strings.ReplaceAll(err.Error(), "\n", "; "), "write networks such as 10.1.0.0/16 and hosts such as billing.internal, separated by commas")
		}
		*into = allow
		return nil
	}}
}

// queueNameLimit leaves room in AMQP's 255 bytes for the suffix of a delay queue.
const queueNameLimit = 200

func queueName(into *string) reader {
	return reader{fmt.Sprintf("queue name of at most %d characters", queueNameLimit), func(text string) error {
		if len(text) > queueNameLimit || strings.HasPrefix(text, "amq.") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return wrong(fmt.Sprintf("%q is not a queue name", text), "write at most %d plain characters that do not start with amq.", queueNameLimit)
		}
		*into = text
		return nil
	}}
}
