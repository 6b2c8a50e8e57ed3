package broker

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func TestNewRabbitMQRefuses(t *testing.T) {
	names := Names{"p", "r", "y", "d", ""}
	for _, c := range []struct {
		name string
		cfg  RabbitMQConfig
		want string
	}{
		{"a URL of another kind", RabbitMQConfig{URL: "http://127.0.0.1", Names: names}, "not of the form amqp://"},
		{"no URL", RabbitMQConfig{Names: names}, "not of the form amqp://"},
		{"a heartbeat that is not a number", RabbitMQConfig{URL: "amqp://127.0.0.1/?heartbeat=abc", Names: names}, "the URL's heartbeat must be a whole number"},
		{"too many channels", RabbitMQConfig{URL: "amqp://127.0.0.1/?channel_max=65536", Names: names}, "the URL's channel_max must be a whole number"},
		{"a parameter without effect", RabbitMQConfig{URL: "amqp://127.0.0.1/?connection_timeout=3", Names: names}, `a parameter "connection_timeout", which has no effect`},
		{"an unknown type of queue", RabbitMQConfig{URL: "amqp://127.0.0.1", Names: names, QueueType: "stream"}, `queue type is "stream"`},
		{"missing names", RabbitMQConfig{URL: "amqp://127.0.0.1"}, "the dead queue has no name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewRabbitMQ(c.cfg, slog.New(slog.DiscardHandler), clock.System)
			require.ErrorContains(t, err, c.want)
		})
	}
	t.Run("the password is not in the error", func(t *testing.T) {
		_, err := NewRabbitMQ(RabbitMQConfig{URL: "amqp://me:s3cret@host:port", Names: names}, slog.New(slog.DiscardHandler), clock.System)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret")
	})
}

func TestAConsumerSurvivesTheDeletionOfItsQueue(t *testing.T) {
	cfg := rabbitConfig(t)
	b := openRabbit(t, cfg)
	in := consume(t, b, Process, 10)
	publish(t, b, hint("before"))
	held := in.next()
	awaitLost(t, b, Process) // the queue is empty at the first connection
	deleteQueue(t, cfg.Names.Process)
	awaitLost(t, b, Process)
	waitForPublish(t, b, hint("after"))
	require.Equal(t, "after", in.nextBody())
	held.Ack() // of a deleted queue: no effect
	publish(t, b, hint("still"))
	require.Equal(t, "still", in.nextBody())
}

func TestPassiveModeDeclaresNoQueue(t *testing.T) {
	cfg := rabbitConfig(t)
	cfg.Passive = true
	looker := openRabbit(t, cfg)
	_, err := looker.Depth(t.Context(), Process)
	require.ErrorIs(t, err, ErrUnroutable)
	_, err = adminChannel(t).QueueDeclarePassive(cfg.Names.Process, true, false, false, false, nil)
	require.Equal(t, amqp.NotFound, replyCode(err), "the queue is still missing, so a worker detects it")

	cfg.Passive = false
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
		{"a delay queue", func(n Names) string { return n.Retry + ".500ms" }, Message{Queue: Process, Delay: 600 * time.Millisecond, Body: []byte("x")}, Delayed},
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
	waitForDepth(t, b, Replay, 1)
	deleteQueue(t, cfg.Names.Replay)
	waitForDepth(t, b, Replay, 0)
	awaitLost(t, b, Replay)
	publish(t, b, Message{Queue: Replay})
}

// Nobody consumes the delay queues. Without this check the loss of one, with the retries in
// it, would only show at the next retry.
func TestADeletedDelayQueueIsDetected(t *testing.T) {
	cfg := rabbitConfig(t)
	standing, ahead := clock.System(), atomic.Int64{} // however long the steps take, both later losses come within minLossInterval
	b := openRabbitAt(t, cfg, func() time.Time { return standing.Add(time.Duration(ahead.Load())) })
	publish(t, b, Message{Queue: Process, Delay: MaxDelay, Body: []byte("x")})
	for len(b.lost) > 0 {
		<-b.lost
	}
	ahead.Store(int64(minLossInterval))
	deleteQueue(t, cfg.Names.delayQueue(64*time.Second))
	waitForDepth(t, b, Process, 0)
	require.Equal(t, Delayed, <-b.lost, "the process queue still has all of its messages")
	require.Empty(t, b.lost)

	first := clock.System() // a queue that is deleted repeatedly
	for range 2 {
		deleteQueue(t, cfg.Names.delayQueue(32*time.Second))
		waitForDepth(t, b, Process, 0)
	}
	awaitLost(t, b, Delayed)
	require.Greater(t, clock.Now(clock.System).Since(first), minLossInterval/2)
	require.Empty(t, b.lost, "one signal for both")
	publish(t, b, Message{Queue: Process, Delay: MaxDelay, Body: []byte("x")})
}

func TestACutConnectionIsRestored(t *testing.T) {
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
	}, waitTimeout, 10*time.Millisecond)
	err := b.Publish(within20s(t), []Message{hint("lost")})[0]
	require.True(t, fault.Is(err, fault.Unavailable), err)
	held.Ack()

	proxy.Resume()
	waitForPublish(t, b, hint("after"))
	seen := map[string]bool{}
	for !seen["after"] || !seen["held"] {
		seen[in.nextBody()] = true
	}
	require.NoError(t, b.Ping(within20s(t)))
	awaitLost(t, b, Process)
}

func TestStartingWhileTheBrokerIsUnavailable(t *testing.T) {
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
	waitForPublish(t, b, hint("here"))
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
		require.Less(t, clock.Now(clock.System).Since(started), waitTimeout, name) // without a deadline it never ended
	}
	inTime("publish", func(ctx context.Context) error { return b.Publish(ctx, []Message{hint("x")})[0] })
	inTime("ping", b.Ping)
	inTime("depth", func(ctx context.Context) error {
		_, err := b.Depth(ctx, Process)
		return err
	})
	large := Message{Queue: Replay, Body: []byte(strings.Repeat("x", 4<<20))}
	for range 5 { // more than the buffers hold, so that a write blocks
		inTime("publish much", func(ctx context.Context) error { return b.Publish(ctx, []Message{large, large})[1] })
	}

	proxy.Resume()
	waitForPublish(t, b, hint("again"))
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
	require.Less(t, clock.Now(clock.System).Since(started), waitTimeout) // without a deadline it never ended
}

func TestABlockedBroker(t *testing.T) {
	b := openRabbit(t, rabbitConfig(t))
	publish(t, b, hint("before"))
	require.NoError(t, b.Ping(within20s(t)))
	signal := func(active bool) {
		out := b.publisher.Load()
		out.blocks <- amqp.Blocking{Active: active}
		require.Eventually(t, func() bool { return out.blocked.Load() == active }, waitTimeout, time.Millisecond)
	}
	signal(true)
	err := b.Publish(within20s(t), []Message{hint("x")})[0]
	require.ErrorIs(t, err, ErrBlocked)
	require.True(t, fault.Is(err, fault.Unavailable))
	require.ErrorIs(t, b.Ping(within20s(t)), ErrBlocked)
	waitForDepth(t, b, Process, 1)
	require.Equal(t, "before", consume(t, b, Process, 1).nextBody(), "consumers continue")
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
	out := b.publisher.Load()
	require.Eventually(t, func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.pending) == 1
	}, waitTimeout, time.Millisecond)
	out.blocks <- amqp.Blocking{Active: true}
	require.ErrorIs(t, <-answer, ErrBlocked)
}

func TestALostChannelIsRestored(t *testing.T) {
	b := openRabbit(t, rabbitConfig(t))
	in := consume(t, b, Process, 10)
	publish(t, b, hint("before"))
	require.Equal(t, "before", in.nextBody())
	// The server closes a channel that publishes to an unknown exchange.
	_ = b.publisher.Load().ch.Publish("no such exchange", "", false, false, amqp.Publishing{})
	<-b.publisher.Load().done
	waitForPublish(t, b, hint("after"))
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
		require.ErrorContains(t, err, "run gateway queues migrate")
	}
}

func TestDelayedMessagesWaitWhileTheProcessQueueIsMissing(t *testing.T) {
	cfg := rabbitConfig(t)
	cfg.QueueType = Quorum
	b := openRabbit(t, cfg)
	publish(t, b, Message{Queue: Process, Delay: 250 * time.Millisecond, Body: []byte("kept")})
	deleteQueue(t, cfg.Names.Process)
	waitForDepth(t, b, Process, 1) // Depth declares the queue again; the delay queue still had the message
}
