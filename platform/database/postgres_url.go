package database

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// hostsAndPorts converts libpq's form of several servers, postgres://h1:5432,h2:5433/db, to
// lib/pq's form, postgres://h1,h2/db?port=5432,5433. Other URLs are unchanged.
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
	if !strings.Contains(authority[at:], ",") {
		return dsn, nil
	}
	var hosts, ports []string
	named := false
	for one := range strings.SplitSeq(authority[at:], ",") {
		host, port := one, ""
		if h, p, err := net.SplitHostPort(one); err == nil {
			host, port, named = h, p, true
		}
		if host == "" {
			return "", errors.New("the database URL has an empty host between commas; write postgres://user@host1:5432,host2:5432/name")
		}
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
	if named {
		if values.Has("port") {
			return "", errors.New("the database URL has ports both behind its hosts and as a parameter; write them behind the hosts")
		}
		values.Set("port", strings.Join(ports, ","))
	}
	return scheme + "://" + authority[:at] + strings.Join(hosts, ",") + path + "?" + values.Encode(), nil
}
