package broker

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
)

func TestClassicQueuesBecomeQuorumQueuesWithTheirMessages(t *testing.T) {
	cfg := rabbitConfig(t)
	classic, err := NewRabbitMQ(cfg, slog.New(slog.DiscardHandler), clock.System)
	require.NoError(t, err)
	t.Cleanup(func() { _ = classic.Close() })
	const many = movedBatch + 5 // more than one batch
	var messages []Message
	for i := range many {
		messages = append(messages, hint(fmt.Sprint(i)))
	}
	publish(t, classic, messages...)
	publish(t, classic, Message{Queue: Replay, Body: []byte("replay")}, Message{Queue: Dead, Body: []byte("dead")},
		Message{Queue: Process, Body: []byte("soon"), Delay: 2 * time.Second}, Message{Queue: Process, Body: []byte("late"), Delay: MaxDelay})

	cfg.QueueType = Quorum
	quorum := openRabbit(t, cfg)
	err = quorum.Ping(within20s(t))
	require.ErrorContains(t, err, "gateway queues migrate", "the error names the command")
	require.ErrorContains(t, quorum.Status().Mismatch, "gateway queues migrate", "it is known without asking")
	require.NoError(t, classic.Status().Mismatch)

	in := consume(t, classic, Replay, 1)
	require.Equal(t, "replay", string(in.next().Body)) // not acknowledged
	_, err = quorum.MigrateQueues(within20s(t))
	require.ErrorContains(t, err, "stop gateway work")
	in.stop()
	require.NoError(t, classic.Close())

	migrated, err := openRabbit(t, cfg).MigrateQueues(t.Context())
	require.NoError(t, err)
	found := map[string]int{}
	for _, q := range migrated {
		found[q.Name] = q.Messages
	}
	require.Len(t, found, len(cfg.topology()))
	require.Equal(t, 1, found[cfg.Names.Dead])
	require.Equal(t, 1, found[cfg.Names.Replay])

	again, err := openRabbit(t, cfg).MigrateQueues(t.Context())
	require.NoError(t, err)
	require.Empty(t, again, "there is nothing left to do")
	after := openRabbit(t, cfg) // it declares quorum queues
	require.NoError(t, after.Ping(within20s(t)))
	jobs := consume(t, after, Process, 1)
	seen := map[string]bool{}
	for len(seen) < many+1 {
		seen[jobs.nextBody()] = true
	}
	require.True(t, seen["soon"], "its delay is over")
	require.False(t, seen["late"])
	require.Equal(t, "replay", consume(t, after, Replay, 1).nextBody())
	require.Equal(t, "dead", consume(t, after, Dead, 1).nextBody())
	inspection, err := after.Inspect(within20s(t))
	require.NoError(t, err)
	delayed := 0
	for _, q := range inspection.Queues {
		require.False(t, q.Mismatch || q.Missing, q.Name)
		if q.Role == Delayed {
			delayed += q.Ready
		}
	}
	require.Equal(t, 1, delayed, "the late one still waits")
}
