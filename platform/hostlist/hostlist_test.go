package hostlist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURLs(t *testing.T) {
	for list, want := range map[string][]string{
		"postgres://u:p,q@a:1,b:2/d?x=y,z": {"postgres://u:p,q@a:1/d?x=y,z", "postgres://u:p,q@b:2/d?x=y,z"},
		"amqp://a:1,b:2,c:3":               {"amqp://a:1", "amqp://b:2", "amqp://c:3"},
		"amqp://a,,b?heartbeat=5":          {"amqp://a?heartbeat=5", "amqp://?heartbeat=5", "amqp://b?heartbeat=5"},
		"redis://u@a/0":                    {"redis://u@a/0"},
		"postgres:///d?host=/run,/other":   {"postgres:///d?host=/run,/other"},
		"amqp://u@[::1]:1,[::2]:2/v":       {"amqp://u@[::1]:1/v", "amqp://u@[::2]:2/v"},
		"no URL, at all":                   {"no URL, at all"},
		"":                                 {""},
	} {
		require.Equal(t, want, URLs(list))
	}
}
