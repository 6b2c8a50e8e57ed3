package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

const (
	defaultOpTimeout = 250 * time.Millisecond
	pingTimeout      = time.Second
	pingTTL          = time.Minute
	dialTimeout      = time.Second
	outagePause      = time.Second
)

// RedisConfig names the Redis server and the timeout. Redis 7.0 or later is required.
type RedisConfig struct {
	// URL is redis://[user:password@]host:port/database, or rediss:// for TLS. Of Sentinels,
	// redis://s1:26379,s2:26379/database?master_name=NAME; of a cluster, redis://n1:6379,n2:6379.
	URL       secret.Value
	OpTimeout time.Duration // of one call, whatever its size; default 250 ms
}

// Redis is the cache that all processes share. While the server is unavailable, one call a
// second is tried, and all others return ErrDown immediately.
type Redis struct {
	client  redis.UniversalClient
	cluster bool // keys of one script need one slot
	prefix  string
	timeout time.Duration
	breaker *breaker
}

var _ Cache = (*Redis)(nil)

// NewRedis makes a cache whose keys start with "prefix:". It connects on first use, so the
// gateway starts while Redis is unavailable; errors are about the URL.
func NewRedis(cfg RedisConfig, prefix string, log *slog.Logger) (*Redis, error) {
	options, err := parseRedisURL(cfg.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("invalid Redis URL: %w", err)
	}
	if cfg.OpTimeout <= 0 {
		cfg.OpTimeout = defaultOpTimeout
	}
	redis.SetLogger(&logging.VoidLogger{}) // it would log each failed connection; breaker logs one line for all
	return &Redis{
		client: newClient(options, cfg), prefix: prefix + ":", timeout: cfg.OpTimeout, cluster: options.IsClusterMode,
		breaker: &breaker{now: clock.System, pause: outagePause, log: log},
	}, nil
}

// Claim sets each key that is absent.
func (r *Redis) Claim(ctx context.Context, claims []Claim) ([]Claimed, error) {
	answers := make([]*redis.StatusCmd, len(claims))
	err := r.pipelined(ctx, len(claims), func(ctx context.Context, p redis.Pipeliner) {
		for i, c := range claims {
			answers[i] = p.SetArgs(ctx, r.prefix+c.Key, c.Value, redis.SetArgs{Mode: "NX", Get: true, TTL: lifetime(c.TTL)})
		}
	})
	if err != nil {
		return nil, err
	}
	claimed := make([]Claimed, len(claims))
	for i, a := range answers {
		claimed[i] = Claimed{Value: a.Val(), Won: errors.Is(a.Err(), redis.Nil)} // nil: the key was absent
	}
	return claimed, nil
}

// Set overwrites.
func (r *Redis) Set(ctx context.Context, items []Item) error {
	return r.pipelined(ctx, len(items), func(ctx context.Context, p redis.Pipeliner) {
		for _, item := range items {
			p.Set(ctx, r.prefix+item.Key, item.Value, lifetime(item.TTL))
		}
	})
}

// releaseScript deletes those of KEYS that still hold their ARGV. Getting and deleting in
// two calls could delete another holder's later claim.
var releaseScript = redis.NewScript(`
for i, key in ipairs(KEYS) do
	if redis.call("GET", key) == ARGV[i] then
		redis.call("DEL", key)
	end
end`)

// Release deletes each key that still holds the value it was claimed with.
func (r *Redis) Release(ctx context.Context, items []Claim) error {
	keys, values := make([]string, len(items)), make([]any, len(items))
	for i, item := range items {
		keys[i], values[i] = r.prefix+item.Key, item.Value
	}
	// It succeeds on a server without free memory, so it does not end an outage.
	return r.call(ctx, len(items), provesWrites(false), func(ctx context.Context) error {
		if r.cluster { // the keys are on several nodes
			_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range keys {
					releaseScript.Eval(ctx, p, keys[i:i+1], values[i])
				}
				return nil
			})
			return err
		}
		return releaseScript.Run(ctx, r.client, keys, values...).Err()
	})
}

// Count adds one to each key.
func (r *Redis) Count(ctx context.Context, counts []Count) ([]Counted, error) {
	numbers, rests := make([]*redis.IntCmd, len(counts)), make([]*redis.DurationCmd, len(counts))
	err := r.pipelined(ctx, len(counts), func(ctx context.Context, p redis.Pipeliner) {
		for i, c := range counts {
			key := r.prefix + c.Key
			numbers[i] = p.Incr(ctx, key)
			p.Do(ctx, "PEXPIRE", key, lifetime(c.Window).Milliseconds(), "NX") // the first occurrence starts the window
			rests[i] = p.PTTL(ctx, key)
		}
	})
	if err != nil {
		return nil, err
	}
	counted := make([]Counted, len(counts))
	for i := range counts {
		counted[i] = Counted{N: numbers[i].Val(), Reset: max(rests[i].Val(), 0)}
	}
	return counted, nil
}

// Ping writes a key within a second, also during an outage. A server that answers but
// accepts no writes (a replica, or one without free memory) is useless.
func (r *Redis) Ping(ctx context.Context) error {
	return r.try(ctx, pingTimeout, provesWrites(true), func(ctx context.Context) error {
		return r.client.Set(ctx, r.prefix+"ping", "1", pingTTL).Err()
	})
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

// pipelined sends what queue adds to the pipeline in one round trip.
func (r *Redis) pipelined(ctx context.Context, n int, queue func(context.Context, redis.Pipeliner)) error {
	return r.call(ctx, n, provesWrites(true), func(ctx context.Context) error {
		answers, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			queue(ctx, p)
			return nil
		})
		if !errors.Is(err, redis.Nil) {
			return err
		}
		for _, a := range answers { // a nil is an answer, and hides the errors after it
			if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
		}
		return nil
	})
}

// provesWrites says whether a successful call shows that the server accepts writes.
type provesWrites bool

// call runs do for n items, unless there are none or the server is known to be unavailable.
func (r *Redis) call(ctx context.Context, n int, works provesWrites, do func(context.Context) error) error {
	if n == 0 {
		return nil
	}
	if !r.breaker.allow() {
		return ErrDown
	}
	return r.try(ctx, r.timeout, works, do)
}

func (r *Redis) try(ctx context.Context, timeout time.Duration, works provesWrites, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := do(limited)
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		if works {
			r.breaker.worked()
		}
		return nil
	case errors.Is(ctx.Err(), context.Canceled): // the caller gave up, which says nothing about Redis
		return fmt.Errorf("redis: %w", err)
	case isTimeout(err) && hasLessTime(ctx, limited):
		r.breaker.slow(err)
	default:
		r.breaker.failed(err)
	}
	return fmt.Errorf("%w: %w", ErrDown, err)
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// hasLessTime reports whether limited ends with ctx, and not before.
func hasLessTime(ctx, limited context.Context) bool {
	end, bounded := ctx.Deadline()
	limit, _ := limited.Deadline()
	return bounded && end.Equal(limit)
}
