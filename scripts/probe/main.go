// Command probe checks, in a server's own protocol, whether the tests can use it.
//
//	probe postgres|redis|rabbitmq URL
//
// It prints the server's release and address and exits 0, or says what is missing
// and exits 1.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	_ "github.com/lib/pq"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
)

const timeout = 5 * time.Second

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: probe postgres|redis|rabbitmq URL")
		os.Exit(2)
	}
	// The listener there may speak another protocol or stay silent, and some
	// reads of the drivers have no deadline.
	time.AfterFunc(timeout+time.Second, func() {
		fmt.Fprintf(os.Stderr, "%s does not answer like %s\n", address(os.Args[2]), os.Args[1])
		os.Exit(1)
	})
	release, err := probe(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s at %s\n", release, address(os.Args[2]))
}

func probe(kind, url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch kind {
	case "postgres":
		return postgres(ctx, url)
	case "redis":
		return redisServer(ctx, url)
	case "rabbitmq":
		return rabbitmq(ctx, url)
	}
	return "", fmt.Errorf("unknown server %q: probe supports postgres, redis and rabbitmq", kind)
}

// address is the part of url that may be shown.
func address(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "an invalid address"
	}
	return u.Host
}

// postgres requires a role that can create databases, because each test creates its own.
func postgres(ctx context.Context, url string) (release string, err error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return "", fmt.Errorf("the database URL: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var number int
	var creates bool
	err = db.QueryRowContext(ctx, `
SELECT current_setting('server_version_num')::int, rolcreatedb OR rolsuper
FROM   pg_roles
WHERE  rolname = current_user`).Scan(&number, &creates)
	if err != nil {
		return "", fmt.Errorf("query PostgreSQL: %w", err)
	}
	if number < 130000 {
		return "", fmt.Errorf("PostgreSQL 13 or later is needed; this is %d", number/10000)
	}
	if !creates {
		return "", errors.New("the role cannot create databases, and each test creates its own")
	}
	return fmt.Sprintf("PostgreSQL %d.%d", number/10000, number%10000), nil
}

func redisServer(ctx context.Context, url string) (release string, err error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return "", fmt.Errorf("the Redis URL: %w", err)
	}
	options.MaxRetries = -1
	client := redis.NewClient(options)
	defer func() { err = errors.Join(err, client.Close()) }()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("query Redis: %w", err)
	}
	_, rest, _ := strings.Cut(info, "redis_version:")
	version, _, _ := strings.Cut(rest, "\r\n")
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return "", fmt.Errorf("redis 7.0 or later is needed (SET with NX and GET); this is %q", version)
	}
	return "Redis " + version, nil
}

func rabbitmq(ctx context.Context, url string) (release string, err error) {
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return conn, conn.SetDeadline(time.Now().Add(timeout))
	}})
	if err != nil {
		return "", fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return "", fmt.Errorf("open a channel: %w", err)
	}
	if err := channel.Close(); err != nil {
		return "", fmt.Errorf("close the channel: %w", err)
	}
	return fmt.Sprintf("%v %v", conn.Properties["product"], conn.Properties["version"]), nil
}
