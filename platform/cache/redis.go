package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

const (
	defaultOpTimeout = 250 * time.Millisecond
	pingTimeout      = time.Second
	dialTimeout      = time.Second
	outagePause      = time.Second
)

// RedisConfig says which Redis, and how long it may take. Redis 7.0 or later is needed.
type RedisConfig struct {
	URL       secret.Value  // redis://[user:password@]host:port/database, or rediss:// for TLS
	OpTimeout time.Duration // of one call, whatever it holds; 250 ms when zero
}

// Redis is the cache that all processes share. While the server is away, it is asked
// once a second, and all other calls answer ErrDown at once.
type Redis struct {
	client  *redis.Client
	prefix  string
	timeout time.Duration
	breaker *breaker
}

var _ Cache = (*Redis)(nil)

// NewRedis makes a cache whose keys start with "prefix:". It connects when it is first
// used, so that the gateway starts while Redis is away; its errors are about the URL.
func NewRedis(cfg RedisConfig, prefix string, log *slog.Logger) (*Redis, error) {
	options, err := redis.ParseURL(cfg.URL.Reveal())
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) { // its text repeats the URL with the password
			err = errors.New("it is not well-formed")
		}
		return nil, fmt.Errorf("the Redis URL cannot be used: %w", err)
	}
	timeout := cfg.OpTimeout
	if timeout <= 0 {
		timeout = defaultOpTimeout
	}
	options.Protocol = 2
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1 // a call has one deadline and one try
	options.DialerRetries = 1
	options.DialTimeout = dialTimeout
	options.ReadTimeout = pingTimeout // the contexts are stricter
	options.WriteTimeout = pingTimeout
	options.PoolTimeout = timeout
	redis.SetLogger(&logging.VoidLogger{}) // it would write a line for each failed connection; breaker writes one for all
	return &Redis{
		client: redis.NewClient(options), prefix: prefix + ":", timeout: timeout,
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
		claimed[i] = Claimed{Value: a.Val(), Won: errors.Is(a.Err(), redis.Nil)} // nil: nothing stood there
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

// releaseScript deletes those of KEYS that still hold their ARGV. Getting and deleting
// from here could delete what somebody else claimed in between.
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
	return r.call(ctx, len(items), func(ctx context.Context) error {
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
			p.Do(ctx, "PEXPIRE", key, lifetime(c.Window).Milliseconds(), "NX") // the first starts the window
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

// Ping asks the server within a second, also during an outage.
func (r *Redis) Ping(ctx context.Context) error {
	return r.try(ctx, pingTimeout, func(ctx context.Context) error { return r.client.Ping(ctx).Err() })
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

// pipelined sends what queue queues in one round trip.
func (r *Redis) pipelined(ctx context.Context, n int, queue func(context.Context, redis.Pipeliner)) error {
	return r.call(ctx, n, func(ctx context.Context) error {
		answers, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			queue(ctx, p)
			return nil
		})
		if !errors.Is(err, redis.Nil) {
			return err
		}
		for _, a := range answers { // a nil is an answer, and hides the errors behind it
			if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
		}
		return nil
	})
}

// call runs do for n items, unless there are none or the server is known to be away.
func (r *Redis) call(ctx context.Context, n int, do func(context.Context) error) error {
	if n == 0 {
		return nil
	}
	if !r.breaker.allow() {
		return ErrDown
	}
	return r.try(ctx, r.timeout, do)
}

func (r *Redis) try(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := do(limited)
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		r.breaker.worked()
		return nil
	case errors.Is(ctx.Err(), context.Canceled): // the caller left, which says nothing about Redis
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
