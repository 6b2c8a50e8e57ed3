package broker

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func TestNodesAreTriedInTurn(t *testing.T) {
	n := &nodes{urls: []string{"a", "b", "c"}}
	var tried []string
	answer := map[string]error{}
	first := func() error {
		tried = nil
		return n.first(func(url string) error {
			tried = append(tried, url)
			return answer[url]
		})
	}
	require.NoError(t, first())
	require.Equal(t, []string{"a"}, tried)
	require.NoError(t, first(), "the connection was lost")
	require.Equal(t, []string{"b"}, tried, "another node may do better")

	answer["c"], answer["a"] = errors.New("c is down"), errors.New("a is down")
	require.NoError(t, first())
	require.Equal(t, []string{"c", "a", "b"}, tried)

	answer["b"] = errors.New("b is down")
	err := first()
	for node, want := range answer {
		require.ErrorIs(t, err, want, node)
	}
	require.Len(t, tried, 3)

	for _, final := range []error{amqp.ErrCredentials, errClosed, fault.Unavailable.New(mismatchReason, "other arguments")} {
		answer["c"] = final
		n.at = 2
		require.Equal(t, final, first())
		require.Equal(t, []string{"c"}, tried)
	}
}

// withHosts is cfg with other hosts in its URL.
func withHosts(t *testing.T, cfg RabbitMQConfig, hosts ...string) RabbitMQConfig {
	t.Helper()
	u, err := url.Parse(cfg.URL)
	require.NoError(t, err)
	u.Host = "LIST"
	cfg.URL = strings.Replace(u.String(), "LIST", strings.Join(hosts, ","), 1)
	return cfg
}

func TestAClosedAndAHungNodeAreSkipped(t *testing.T) {
	hung, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and never answers
	require.NoError(t, err)
	t.Cleanup(func() { _ = hung.Close() })
	cfg := rabbitConfig(t)
	real := testkit.NewProxy(t, cfg.URL)
	b := openRabbit(t, withHosts(t, cfg, "127.0.0.1:1", hung.Addr().String(), real.Addr()))
	require.NoError(t, b.Ping(within20s(t)))
	publish(t, b, hint("a"))
	require.Equal(t, "a", consume(t, b, Process, 1).nextBody())
	found, err := b.Inspect(within20s(t))
	require.NoError(t, err)
	require.NotEmpty(t, found.Queues)
}

func TestALostNodeIsReplacedByAnother(t *testing.T) {
	cfg := rabbitConfig(t)
	first, second := testkit.NewProxy(t, cfg.URL), testkit.NewProxy(t, cfg.URL)
	b := openRabbit(t, withHosts(t, cfg, first.Addr(), second.Addr()))
	in := consume(t, b, Process, 1)
	publish(t, b, hint("before"))
	in.until("before")

	first.Hang() // heartbeats find it; an acknowledgement may be lost with it
	waitForPublish(t, b, hint("hung"))
	in.until("hung")

	first.Resume()
	second.Cut()
	waitForPublish(t, b, hint("cut"))
	in.until("cut")
}

func TestAListOfHostsIsCheckedAtTheStart(t *testing.T) {
	require.NoError(t, checkURLs("amqp://u:p,q@a:5672,[::1]:5673,c/vhost?heartbeat=5"))
	require.ErrorContains(t, checkURLs("amqp://u:hunter2@a,,c/"), "empty host between commas")
	err := checkURLs("amqp://u:hunter2@a,b:port/")
	require.ErrorContains(t, err, "not of the form")
	require.NotContains(t, err.Error(), "hunter2")
}
