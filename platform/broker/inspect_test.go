package broker

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

func TestAnInspectionTellsOfTheQueuesAndMakesNone(t *testing.T) {
	cfg := rabbitConfig(t)
	passive := cfg
	passive.Passive = true
	inspected := func(c RabbitMQConfig) map[Queue]InspectedQueue {
		i, err := openRabbit(t, c).Inspect(within20s(t))
		require.NoError(t, err)
		require.Equal(t, "RabbitMQ", i.Product)
		require.Regexp(t, `^\d+\.\d+`, i.Version)
		require.Len(t, i.Queues, len(c.withDefaults().topology()))
		of := map[Queue]InspectedQueue{}
		for _, q := range i.Queues {
			of[q.Role] = q
		}
		return of
	}
	for range 2 { // the first look has made none
		for _, q := range inspected(passive) {
			require.True(t, q.Missing, q.Name)
		}
	}
	b := openRabbit(t, cfg)
	in := consume(t, b, Process, 1)
	publish(t, b, hint("a"), hint("b"))
	in.next()
	found := inspected(passive)
	require.Equal(t, InspectedQueue{Name: cfg.Names.Process, Role: Process, Ready: 1, Consumers: 1}, found[Process], "one is with the consumer")
	require.Equal(t, InspectedQueue{Name: cfg.Names.Dead, Role: Dead}, found[Dead])

	other := passive
	other.QueueType = Quorum
	for _, q := range inspected(other) {
		require.True(t, q.Mismatch, "%s is a classic queue", q.Name)
	}
}

func TestAnInspectionTellsAWrongPasswordFromAnOutage(t *testing.T) {
	u, err := url.Parse(testkit.Server(t, testkit.RabbitMQVariable))
	require.NoError(t, err)
	cfg := RabbitMQConfig{Names: Names{Process: "p", Retry: "r", Replay: "y", Dead: "d"}, Passive: true}
	u.User = url.UserPassword("guest", "wrong-hunter2")
	cfg.URL = u.String()
	_, err = openRabbit(t, cfg).Inspect(within20s(t))
	require.ErrorIs(t, err, ErrRefused)
	require.NotContains(t, err.Error(), "hunter2")
	cfg.URL = "amqp://guest:hunter2@127.0.0.1:1/"
	_, err = openRabbit(t, cfg).Inspect(within20s(t))
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrRefused)
	require.NotContains(t, err.Error(), "hunter2")
}
