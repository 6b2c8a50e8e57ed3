package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// redis runs a command on the private Redis that is answered with +OK.
// https://redis.io/docs/latest/develop/reference/protocol-spec/#inline-commands
func (s *servers) redis(ctx context.Context, command string) error {
	u, err := url.Parse(s.urls[redis])
	if err != nil {
		return fmt.Errorf("the URL of Redis: %w", err)
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return fmt.Errorf("reach Redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(answer, "+OK") {
		return fmt.Errorf("%s: Redis answered %q (%w)", command, answer, err)
	}
	return nil
}
