package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

// eachSpool runs test on a spool of each type of queue, with a bound in bytes.
func eachSpool(t *testing.T, bytes int64, test func(t *testing.T, cfg RabbitMQConfig)) {
	for _, queueType := range []string{Classic, Quorum} {
		t.Run(queueType, func(t *testing.T) {
			cfg := rabbitConfig(t)
			cfg.QueueType, cfg.Names.Spool, cfg.SpoolBytes = queueType, strings.TrimSuffix(cfg.Names.Process, ".process")+".spool", bytes
			t.Cleanup(func() {
				ch := adminChannel(t)
				for _, q := range cfg.spool() {
					_, err := ch.QueueDelete(q.name, false, false, false)
					require.NoError(t, err)
				}
			})
			test(t, cfg)
		})
	}
}

// TestTheBrokerKeepsTheBoundOfTheSpool: at its bound the broker refuses messages, and those that it
// has stay. There is room again when one is taken.
func TestTheBrokerKeepsTheBoundOfTheSpool(t *testing.T) {
	eachSpool(t, 100_000, func(t *testing.T, cfg RabbitMQConfig) {
		b := openRabbit(t, cfg)
		put := func() error {
			return b.Publish(t.Context(), []Message{{Queue: Spool, Body: []byte(`"` + strings.Repeat("x", 10_000) + `"`)}})[0]
		}
		kept := 0
		var err error
		for ; kept < 100; kept++ {
			if err = put(); err != nil {
				break
			}
		}
		require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
		require.ErrorContains(t, err, "did not store")
		require.GreaterOrEqual(t, kept, 9)
		require.Less(t, kept, 20, "a quorum queue notices its bound a little late")
		require.NoError(t, b.Publish(t.Context(), []Message{{Queue: Process, Body: []byte("{}")}})[0], "other queues have room")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		got := make(chan Delivery, 100)
		go func() { _ = b.Consume(ctx, Spool, 100, func(d Delivery) { got <- d }) }()
		for range kept {
			d := <-got
			d.Ack()
		}
		require.Eventually(t, func() bool { return put() == nil }, waitTimeout, 10*time.Millisecond)
	})
}

// TestASpoolWithOtherArgumentsStays: processes with another bound, as during a rolling change of the
// configuration, must not lose their connection for it.
func TestASpoolWithOtherArgumentsStays(t *testing.T) {
	eachSpool(t, 100_000, func(t *testing.T, cfg RabbitMQConfig) {
		require.NoError(t, openRabbit(t, cfg).Ping(t.Context()))
		cfg.SpoolBytes = 200_000
		b := openRabbit(t, cfg)
		require.NoError(t, b.Ping(t.Context()))
		require.NoError(t, b.Publish(t.Context(), []Message{{Queue: Spool, Body: []byte("{}")}, {Queue: SpoolParked, Body: []byte("{}")}})[0])
		found, err := b.Inspect(t.Context())
		require.NoError(t, err)
		for _, q := range found.Queues {
			require.Equal(t, q.Role == Spool, q.Mismatch, "doctor names it: %s", q.Name)
		}
	})
}

// TestOneConsumerAtATimeGetsTheSpool: the order holds, whoever stores it.
func TestOneConsumerAtATimeGetsTheSpool(t *testing.T) {
	eachSpool(t, 0, func(t *testing.T, cfg RabbitMQConfig) {
		first, second := openRabbit(t, cfg), openRabbit(t, cfg)
		require.NoError(t, second.Ping(t.Context()))
		consume := func(b *RabbitMQ) (got chan Delivery, stop func() error) {
			ctx, cancel := context.WithCancel(t.Context())
			got, ended := make(chan Delivery, 100), make(chan error, 1)
			go func() { ended <- b.Consume(ctx, Spool, 1, func(d Delivery) { got <- d }) }()
			return got, func() error { cancel(); return <-ended }
		}
		ofFirst, stopFirst := consume(first)
		require.NoError(t, errors.Join(first.Publish(t.Context(), []Message{{Queue: Spool, Body: []byte("1")}, {Queue: Spool, Body: []byte("2")}, {Queue: Spool, Body: []byte("3")}})...))
		one := <-ofFirst
		if cfg.QueueType == Classic {
			require.ErrorIs(t, second.Consume(t.Context(), Spool, 1, func(Delivery) {}), ErrTaken)
		}
		require.Equal(t, "1", string(one.Body))
		one.Ack()
		two := <-ofFirst
		require.Equal(t, "2", string(two.Body))
		two.Requeue()
		require.NoError(t, stopFirst())
		close(ofFirst)
		for d := range ofFirst {
			d.Requeue()
		}
		ofSecond, stopSecond := consume(second)
		for _, want := range []string{"2", "3"} {
			d := <-ofSecond
			require.Equal(t, want, string(d.Body))
			d.Ack()
		}
		require.NoError(t, stopSecond())
	})
}

// TestTheSpoolSurvivesConsumersThatComeAndGo: while the database comes and goes, consumers put back
// what they hold, and leave, while webhooks go on arriving. Classic queues with a single active consumer
// crash in that.
func TestTheSpoolSurvivesConsumersThatComeAndGo(t *testing.T) {
	eachSpool(t, 1<<20, func(t *testing.T, cfg RabbitMQConfig) {
		const prefetch, rounds = 16, 20
		first, second := openRabbit(t, cfg), openRabbit(t, cfg)
		published := 0
		put := func(n int) {
			messages := make([]Message, n)
			for i := range messages {
				messages[i] = Message{Queue: Spool, Body: []byte(`"x"`)}
			}
			require.NoError(t, errors.Join(first.Publish(t.Context(), messages)...))
			published += n
		}
		put(100)
		for n := range rounds {
			b := []*RabbitMQ{first, second}[n%2]
			ctx, stop := context.WithCancel(t.Context())
			got, ended := make(chan Delivery, prefetch), make(chan error, 1)
			go func() { ended <- b.Consume(ctx, Spool, prefetch, func(d Delivery) { got <- d }) }()
			for range prefetch {
				d := <-got
				put(1)
				d.Requeue()
			}
			put(20)
			stop()
			require.NoError(t, <-ended)
			close(got)
			for d := range got {
				d.Requeue()
			}
		}
		require.Eventually(t, func() bool {
			n, err := first.Depth(t.Context(), Spool)
			return err == nil && n == published
		}, waitTimeout, 50*time.Millisecond)
	})
}
