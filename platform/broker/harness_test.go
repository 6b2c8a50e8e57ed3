package broker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// waitTimeout is how long a test waits for an expected event.
const waitTimeout = 20 * time.Second

// eachDriver runs test on every driver. open returns a broker on the test's own queues.
// Called again, it returns another one on the same queues, or nil if they cannot be shared.
func eachDriver(t *testing.T, test func(t *testing.T, open func() Broker)) {
	t.Run("memory", func(t *testing.T) {
		opened := false
		test(t, func() Broker {
			if opened {
				return nil
			}
			opened = true
			b := NewMemory(clock.System, nil)
			t.Cleanup(func() { _ = b.Close() })
			return b
		})
	})
	for _, queueType := range []string{Classic, Quorum} {
		t.Run("rabbitmq "+queueType, func(t *testing.T) {
			cfg := rabbitConfig(t)
			cfg.QueueType = queueType
			test(t, func() Broker { return openRabbit(t, cfg) })
		})
	}
}

// rabbitConfig names queues of the test's own, which are deleted with it.
func rabbitConfig(t *testing.T) RabbitMQConfig {
	url := testkit.Server(t, testkit.RabbitMQVariable)
	prefix := "gateway.test." + id.New()
	cfg := RabbitMQConfig{URL: url, Names: Names{
		Process: prefix + ".process", Retry: prefix + ".retry", Replay: prefix + ".replay", Dead: prefix + ".dead",
	}}
	t.Cleanup(func() {
		ch := adminChannel(t)
		for _, q := range cfg.withDefaults().topology() {
			_, err := ch.QueueDelete(q.name, false, false, false)
			require.NoError(t, err)
		}
	})
	return cfg
}

func openRabbit(t *testing.T, cfg RabbitMQConfig) *RabbitMQ {
	return openRabbitAt(t, cfg, clock.System)
}

func openRabbitAt(t *testing.T, cfg RabbitMQConfig, now clock.Now) *RabbitMQ {
	b, err := NewRabbitMQ(cfg, slog.New(slog.DiscardHandler), now)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// adminChannel is a direct channel to the server, without the driver.
func adminChannel(t *testing.T) *amqp.Channel {
	conn, err := amqp.Dial(testkit.Server(t, testkit.RabbitMQVariable))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

func deleteQueue(t *testing.T, name string) {
	_, err := adminChannel(t).QueueDelete(name, false, false, false)
	require.NoError(t, err)
}

func within20s(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	t.Cleanup(cancel)
	return ctx
}

func publish(t *testing.T, b Broker, messages ...Message) {
	t.Helper()
	for _, err := range b.Publish(within20s(t), messages) {
		require.NoError(t, err)
	}
}

func hint(body string) Message { return Message{Queue: Process, Body: []byte(body)} }

// inbox is a consumer whose deliveries the test takes one by one.
type inbox struct {
	t          *testing.T
	deliveries chan Delivery
	cancel     context.CancelFunc
	ended      chan error
}

func consume(t *testing.T, b Broker, queue Queue, prefetch int) *inbox {
	ctx, cancel := context.WithCancel(context.Background())
	in := &inbox{t: t, deliveries: make(chan Delivery, 100_000), cancel: cancel, ended: make(chan error, 1)}
	go func() {
		in.ended <- b.Consume(ctx, queue, prefetch, func(d Delivery) { in.deliveries <- d })
	}()
	t.Cleanup(cancel)
	return in
}

func (in *inbox) next() Delivery {
	in.t.Helper()
	select {
	case d := <-in.deliveries:
		return d
	case <-time.After(waitTimeout):
		require.FailNow(in.t, "nothing was delivered")
		return Delivery{}
	}
}

// nextBody takes and acknowledges a delivery, and returns its body.
func (in *inbox) nextBody() string {
	in.t.Helper()
	d := in.next()
	d.Ack()
	return string(d.Body)
}

// until skips the deliveries before body.
func (in *inbox) until(body string) {
	in.t.Helper()
	for found := false; !found; {
		found = in.nextBody() == body
	}
}

func (in *inbox) stop() {
	in.t.Helper()
	in.cancel()
	select {
	case err := <-in.ended:
		require.NoError(in.t, err)
	case <-time.After(waitTimeout):
		require.FailNow(in.t, "Consume did not return")
	}
}

// waitForDepth waits until a queue holds n ready messages.
func waitForDepth(t *testing.T, b Broker, queue Queue, n int) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		depth, err := b.Depth(within20s(t), queue)
		require.NoError(c, err)
		require.Equal(c, n, depth)
	}, waitTimeout, 20*time.Millisecond)
}

// waitForPublish waits until a message can be published again.
func waitForPublish(t *testing.T, b Broker, m Message) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.NoError(c, b.Publish(within20s(t), []Message{m})[0])
	}, waitTimeout, 50*time.Millisecond)
}

func awaitLost(t *testing.T, b Broker, want Queue) {
	t.Helper()
	for deadline := time.After(waitTimeout); ; {
		select {
		case q := <-b.Lost():
			if q == want {
				return
			}
		case <-deadline:
			require.FailNow(t, "the loss was not signalled")
		}
	}
}
