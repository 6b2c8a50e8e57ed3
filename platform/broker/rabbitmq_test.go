package broker

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func TestNewRabbitMQRefuses(t *testing.T) {
	names := Names{"p", "r", "y", "d"}
	for _, c := range []struct {
		name string
		cfg  RabbitMQConfig
		want string
	}{
		{"a URL of another kind", RabbitMQConfig{URL: "http://127.0.0.1", Names: names}, "not of the form amqp://"},
		{"no URL", RabbitMQConfig{Names: names}, "not of the form amqp://"},
		{"an unknown type of queue", RabbitMQConfig{URL: "amqp://127.0.0.1", Names: names, QueueType: "stream"}, `queue type is "stream"`},
		{"names that are missing", RabbitMQConfig{URL: "amqp://127.0.0.1"}, "the dead queue has no name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewRabbitMQ(c.cfg, slog.New(slog.DiscardHandler), clock.System)
			require.ErrorContains(t, err, c.want)
		})
	}
	t.Run("and keeps the password out of the error", func(t *testing.T) {
		_, err := NewRabbitMQ(RabbitMQConfig{URL: "amqp://me:s3cret@host:port", Names: names}, slog.New(slog.DiscardHandler), clock.System)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret")
	})
}

func TestAConsumerOutlivesItsQueue(t *testing.T) {
	cfg := rabbitConfig(t)
	b := openRabbit(t, cfg)
	in := consume(t, b, Process, 10)
	publish(t, b, hint("before"))
	held := in.next()
	awaitLost(t, b, Process) // the first sight of an empty queue
	deleteQueue(t, cfg.Names.Process)
	awaitLost(t, b, Process)
	heals(t, b, hint("after"))
	require.Equal(t, "after", in.nextBody())
	held.Ack() // of a queue that is gone: it does nothing
	publish(t, b, hint("still"))
	require.Equal(t, "still", in.nextBody())
}

func TestOneThatOnlyLooksMakesNoQueue(t *testing.T) {
	cfg := rabbitConfig(t)
	cfg.LookOnly = true
	looker := openRabbit(t, cfg)
	_, err := looker.Depth(t.Context(), Process)
	require.ErrorIs(t, err, ErrUnroutable)
	_, err = adminChannel(t).QueueDeclarePassive(cfg.Names.Process, true, false, false, false, nil)
	require.Equal(t, amqp.NotFound, replyCode(err), "it is still not there for a worker to miss")

	cfg.LookOnly = false
	publish(t, openRabbit(t, cfg), hint("one"))
	depth, err := looker.Depth(t.Context(), Process)
	require.NoError(t, err)
	require.Equal(t, 1, depth)
}

func TestPublishingToADeletedQueue(t *testing.T) {
	for _, c := range []struct {
		name    string
		deleted func(Names) string
		message Message
		lost    Queue
	}{
		{"process", func(n Names) string { return n.Process }, hint("x"), Process},
		{"replay", func(n Names) string { return n.Replay }, Message{Queue: Replay, Body: []byte("x")}, Replay},
		{"a rung", func(n Names) string { return n.Retry + ".500ms" }, Message{Queue: Process, Delay: 600 * time.Millisecond, Body: []byte("x")}, Process},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := rabbitConfig(t)
			b := openRabbit(t, cfg)
			publish(t, b, c.message)
			for len(b.lost) > 0 {
				<-b.lost
			}
			deleteQueue(t, c.deleted(cfg.Names))
			errs := b.Publish(within20s(t), []Message{{Queue: Dead, Body: []byte("fine")}, c.message, {Queue: Dead}})
			require.NoError(t, errs[0])
			require.ErrorIs(t, errs[1], ErrUnroutable)
			require.True(t, fault.Is(errs[1], fault.Unavailable))
			require.NoError(t, errs[2])
			awaitLost(t, b, c.lost)
			publish(t, b, c.message)
			in := consume(t, b, c.message.Queue, 1)
			require.Equal(t, "x", in.nextBody())
		})
	}
}

func TestDepthOfADeletedQueue(t *testing.T) {
	cfg := rabbitConfig(t)
	b := openRabbit(t, cfg)
	publish(t, b, Message{Queue: Replay})
	becomes(t, b, Replay, 1)
	deleteQueue(t, cfg.Names.Replay)
	becomes(t, b, Replay, 0)
	awaitLost(t, b, Replay)
	publish(t, b, Message{Queue: Replay})
}

func TestACutConnectionComesBack(t *testing.T) {
	cfg := rabbitConfig(t)
	proxy := testkit.NewProxy(t, cfg.URL)
	cfg.URL = proxy.URL()
	b := openRabbit(t, cfg)
	in := consume(t, b, Process, 10)
	publish(t, b, hint("held"))
	held := in.next()

	proxy.Cut()
	require.Eventually(t, func() bool {
		return fault.Is(b.Ping(within20s(t)), fault.Unavailable)
	}, patience, 10*time.Millisecond)
	err := b.Publish(within20s(t), []Message{hint("lost")})[0]
	require.True(t, fault.Is(err, fault.Unavailable), err)
	held.Ack()

	proxy.Resume()
	heals(t, b, hint("after"))
	seen := map[string]bool{}
	for !seen["after"] || !seen["held"] {
		seen[in.nextBody()] = true
	}
	require.NoError(t, b.Ping(within20s(t)))
	awaitLost(t, b, Process)
}

func TestStartingWhileTheBrokerIsAway(t *testing.T) {
	cfg := rabbitConfig(t)
	proxy := testkit.NewProxy(t, cfg.URL)
	cfg.URL = proxy.URL()
	proxy.Cut()
	b := openRabbit(t, cfg)
	in := consume(t, b, Process, 10)
	require.True(t, fault.Is(b.Publish(within20s(t), []Message{hint("x")})[0], fault.Unavailable))
	require.True(t, fault.Is(b.Ping(within20s(t)), fault.Unavailable))
	_, err := b.Depth(within20s(t), Process)
	require.True(t, fault.Is(err, fault.Unavailable))

	proxy.Resume()
	heals(t, b, hint("here"))
	require.Equal(t, "here", in.nextBody())
	awaitLost(t, b, Process)
}

func TestAHungBroker(t *testing.T) {
	cfg := rabbitConfig(t)
	proxy := testkit.NewProxy(t, cfg.URL)
	cfg.URL = proxy.URL()
	cfg.WriteTimeout = 500 * time.Millisecond
	b := openRabbit(t, cfg)
	require.NoError(t, b.Ping(within20s(t)))
	in := consume(t, b, Process, 10)
	publish(t, b, hint("first"))
	require.Equal(t, "first", in.nextBody())

	proxy.Hang()
	inTime := func(name string, call func(ctx context.Context) error) {
		t.Helper()
		const deadline = 200 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		started := clock.System()
		require.True(t, fault.Is(call(ctx), fault.Unavailable), name)
		require.Less(t, clock.Now(clock.System).Since(started), deadline+2*time.Second, name)
	}
	inTime("publish", func(ctx context.Context) error { return b.Publish(ctx, []Message{hint("x")})[0] })
	inTime("ping", b.Ping)
	inTime("depth", func(ctx context.Context) error {
		_, err := b.Depth(ctx, Process)
		return err
	})
	large := Message{Queue: Replay, Body: []byte(strings.Repeat("x", 4<<20))}
	for range 5 { // more than the buffers on the way hold, so that a write hangs
		inTime("publish much", func(ctx context.Context) error { return b.Publish(ctx, []Message{large, large})[1] })
	}

	proxy.Resume()
	heals(t, b, hint("again"))
	in.until("again")
}

func TestClosingWhileTheBrokerHangs(t *testing.T) {
	cfg := rabbitConfig(t)
	proxy := testkit.NewProxy(t, cfg.URL)
	cfg.URL = proxy.URL()
	b := openRabbit(t, cfg)
	in := consume(t, b, Process, 10)
	publish(t, b, hint("x"))
	in.next()
	proxy.Hang()
	started := clock.System()
	require.NoError(t, b.Close())
	require.NoError(t, <-in.ended)
	require.Less(t, clock.Now(clock.System).Since(started), 4*closeTimeout)
}

func TestABlockedBroker(t *testing.T) {
	b := openRabbit(t, rabbitConfig(t))
	publish(t, b, hint("before"))
	require.NoError(t, b.Ping(within20s(t)))
	signal := func(active bool) {
		out := b.out.Load()
		out.blocks <- amqp.Blocking{Active: active}
		require.Eventually(t, func() bool { return out.blocked.Load() == active }, patience, time.Millisecond)
	}
	signal(true)
	err := b.Publish(within20s(t), []Message{hint("x")})[0]
	require.ErrorIs(t, err, ErrBlocked)
	require.True(t, fault.Is(err, fault.Unavailable))
	require.ErrorIs(t, b.Ping(within20s(t)), ErrBlocked)
	becomes(t, b, Process, 1)
	require.Equal(t, "before", consume(t, b, Process, 1).nextBody(), "consumers go on")
	signal(false)
	publish(t, b, hint("after"))
	require.NoError(t, b.Ping(within20s(t)))
}

func TestABlockEndsTheWaitForConfirms(t *testing.T) {
	cfg := rabbitConfig(t)
	proxy := testkit.NewProxy(t, cfg.URL)
	cfg.URL = proxy.URL()
	b := openRabbit(t, cfg)
	publish(t, b, hint("before"))
	proxy.Hang()
	answer := make(chan error, 1)
	go func() { answer <- b.Publish(within20s(t), []Message{hint("x")})[0] }()
	out := b.out.Load()
	require.Eventually(t, func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.pending) == 1
	}, patience, time.Millisecond)
	out.blocks <- amqp.Blocking{Active: true}
	require.ErrorIs(t, <-answer, ErrBlocked)
}

func TestALostChannelComesBack(t *testing.T) {
	b := openRabbit(t, rabbitConfig(t))
	in := consume(t, b, Process, 10)
	publish(t, b, hint("before"))
	require.Equal(t, "before", in.nextBody())
	// The server closes the channel of whoever publishes to an exchange it lacks.
	_ = b.out.Load().ch.Publish("no such exchange", "", false, false, amqp.Publishing{})
	<-b.out.Load().dead
	heals(t, b, hint("after"))
	require.Equal(t, "after", in.nextBody())
}

func TestAQueueWithOtherArguments(t *testing.T) {
	cfg := rabbitConfig(t)
	_, err := adminChannel(t).QueueDeclare(cfg.Names.Replay, true, false, false, false, nil)
	require.NoError(t, err)
	b := openRabbit(t, cfg)
	for _, err := range []error{b.Ping(within20s(t)), b.Publish(within20s(t), []Message{hint("x")})[0]} {
		require.True(t, fault.Is(err, fault.Unavailable))
		require.Equal(t, mismatchReason, fault.As(err).Reason)
		require.ErrorContains(t, err, cfg.Names.Replay)
		require.ErrorContains(t, err, "Delete it once it is empty")
	}
}

func TestDelayedMessagesStayWhileTheProcessQueueIsAway(t *testing.T) {
	cfg := rabbitConfig(t)
	cfg.QueueType = Quorum
	b := openRabbit(t, cfg)
	publish(t, b, Message{Queue: Process, Delay: 250 * time.Millisecond, Body: []byte("kept")})
	deleteQueue(t, cfg.Names.Process)
	becomes(t, b, Process, 1) // Depth declares the queue again; the rung had kept its message
}
