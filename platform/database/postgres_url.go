package database

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/lib/pq"
)

// parsePostgresURL reads the URL of a server, or of several. Its errors name what is wrong
// and contain no password.
func parsePostgresURL(text string) (pq.Config, error) {
	dsn, err := hostsAndPorts(text)
	if err != nil {
		return pq.Config{}, err
	}
	malformed := errors.New("invalid database URL; write postgres://user:password@host:5432/name?sslmode=…")
	if _, err := url.Parse(dsn); err != nil {
		return pq.Config{}, malformed // the error's text would quote the URL
	}
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		wrong, ok := strings.CutPrefix(err.Error(), "pq: ")
		if !ok {
			return pq.Config{}, malformed
		}
		return pq.Config{}, errors.New("the database URL: " + wrong)
	}
	switch cfg.TargetSessionAttrs {
	case "", pq.TargetSessionAttrsAny, pq.TargetSessionAttrsReadWrite, pq.TargetSessionAttrsPrimary:
	default:
		return pq.Config{}, fmt.Errorf("the database URL has target_session_attrs=%s, but the gateway writes; use read-write, or leave it out", cfg.TargetSessionAttrs)
	}
	if cfg.LoadBalanceHosts == pq.LoadBalanceHostsRandom {
		return pq.Config{}, errors.New("the database URL has load_balance_hosts=random, but the gateway stays with the server that takes writes; leave it out")
	}
	return cfg, nil
}

// hostsAndPorts converts libpq's form of several servers, postgres://h1:5432,h2:5433/db, to
// lib/pq's form, postgres:///db?host=h1,h2&port=5432,5433. IPv6 addresses stand in brackets.
// Other URLs are unchanged.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
func hostsAndPorts(dsn string) (string, error) {
	scheme, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return dsn, nil
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	at := strings.LastIndexByte(authority, '@') + 1
	if !strings.ContainsAny(authority[at:], ",[") {
		return dsn, nil
	}
	var hosts, ports []string
	named := false
	for one := range strings.SplitSeq(authority[at:], ",") {
		host, port, err := hostAndPort(one)
		if err != nil {
			return "", err
		}
		named = named || port != ""
		if port == "" {
			port = "5432"
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	path, query, _ := strings.Cut(tail, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("the database URL's parameters are not well-formed")
	}
	if values.Has("host") || named && values.Has("port") {
		return "", errors.New("the database URL has hosts or ports both before its path and as a parameter; write them before the path, such as host1:5432,host2:5432")
	}
	if named {
		values.Set("port", strings.Join(ports, ","))
	}
	values.Set("host", strings.Join(hosts, ","))
	if path == "" {
		path = "/"
	}
	return scheme + "://" + authority[:at] + path + "?" + values.Encode(), nil
}

// hostAndPort separates one element of a list of servers; the port is empty if it is not
// given.
func hostAndPort(text string) (host, port string, err error) {
	switch {
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		host = text[1 : len(text)-1]
	case strings.Contains(text, ":"):
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", "", errors.New("the database URL has an element in its list of hosts that is not host:port; write IPv6 addresses in brackets, such as [::1]:5432")
		}
	default:
		host = text
	}
	if host == "" {
		return "", "", errors.New("the database URL has an empty host between commas; write postgres://user@host1:5432,host2:5432/name")
	}
	if strings.HasPrefix(text, "[") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", "", errors.New("the database URL has something other than an IPv6 address in brackets")
		}
	}
	if host, err = url.PathUnescape(host); err != nil {
		return "", "", errors.New("the database URL has a host that is not well-formed")
	}
	return host, port, nil
}

// multiHostConnectTimeout is the default connect timeout of one of several servers: while
// one hangs, the next has to wait.
const multiHostConnectTimeout = 2 * time.Second

// hostsOf returns one connector for each server that cfg names. As in libpq, connect_timeout
// applies to each; zero and less mean the default.
func hostsOf(cfg pq.Config) ([]*pq.Connector, error) {
	one := cfg.Clone()
	one.Multi, one.LoadBalanceHosts = nil, ""
	if one.ConnectTimeout <= 0 {
		one.ConnectTimeout = connectTimeout
		if len(cfg.Multi) > 0 {
			one.ConnectTimeout = multiHostConnectTimeout
		}
	}
	list := []pq.Config{one}
	for _, m := range cfg.Multi {
		other := one.Clone()
		other.Host, other.Hostaddr, other.Port = m.Host, m.Hostaddr, m.Port
		list = append(list, other)
	}
	connectors := make([]*pq.Connector, len(list))
	for i, host := range list {
		c, err := pq.NewConnectorConfig(host)
		if err != nil {
			return nil, fmt.Errorf("the database URL: %w", err)
		}
		connectors[i] = c
	}
	return connectors, nil
}
