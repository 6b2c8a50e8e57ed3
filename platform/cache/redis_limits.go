package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// acquireScript works on sorted sets of holders, ordered by the expiry of their slots: the
// server's time in milliseconds, so that all processes use one clock. KEYS are the keys of
// all acquisitions' limits; ARGV holds the acquisitions. The answer has two numbers per
// acquisition: the number of granted slots, and the wait in microseconds.
var acquireScript = redis.NewScript(`
local t = redis.call("TIME")
local now = t[1] * 1000 + t[2] / 1000
local answer, at = {}, 0
for _, a in ipairs(cjson.decode(ARGV[1])) do
	local count = {}
	for i, limit in ipairs(a.limits) do
		local key = KEYS[at + i]
		redis.call("ZREMRANGEBYSCORE", key, "-inf", now)
		if limit.held then
			for _, holder in ipairs(a.release) do redis.call("ZREM", key, holder) end
		end
		count[i] = redis.call("ZCARD", key)
	end
	local granted, wait = 0, 0
	for _, holder in ipairs(a.holders) do
		local new, full = {}, false
		for i, limit in ipairs(a.limits) do
			local key = KEYS[at + i]
			new[i] = not redis.call("ZSCORE", key, holder)
			if new[i] and count[i] >= limit.max then
				full = true
				local first = redis.call("ZRANGE", key, 0, 0, "WITHSCORES")
				if first[2] then wait = math.max(wait, first[2] - now) end
			end
		end
		if full then break end
		for i, limit in ipairs(a.limits) do
			local key = KEYS[at + i]
			redis.call("ZADD", key, string.format("%.3f", now + limit.ttl), holder)
			redis.call("PEXPIRE", key, limit.ttl + 1000)
			if new[i] then count[i] = count[i] + 1 end
		end
		granted = granted + 1
	end
	answer[#answer + 1] = granted
	answer[#answer + 1] = math.ceil(wait * 1000)
	at = at + #a.limits
end
return answer`)

// The input types of acquireScript.
type (
	scriptLimit struct {
		Max  int   `json:"max"`
		TTL  int64 `json:"ttl"` // milliseconds
		Held bool  `json:"held"`
	}
	scriptAcquisition struct {
		Limits  []scriptLimit `json:"limits"`
		Release []string      `json:"release"`
		Holders []string      `json:"holders"`
	}
)

// limitKey is a limit's key. One script works on several limits, so in a cluster they have a
// hash tag in common and are on one node.
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
func (r *Redis) limitKey(key string) string {
	if r.cluster {
		return r.prefix + "{limits}:" + key
	}
	return r.prefix + key
}

// Acquire releases and requests slots under limits, in one step.
func (r *Redis) Acquire(ctx context.Context, list []Acquisition) ([]Acquired, error) {
	var keys []string
	asked := make([]scriptAcquisition, len(list))
	for i, a := range list {
		asked[i] = scriptAcquisition{Limits: []scriptLimit{}, Release: append([]string{}, a.Release...), Holders: append([]string{}, a.Holders...)}
		for _, l := range a.Limits {
			keys = append(keys, r.limitKey(l.Key))
			asked[i].Limits = append(asked[i].Limits, scriptLimit{Max: l.Max, TTL: lifetime(l.TTL).Milliseconds(), Held: l.Held})
		}
	}
	text, _ := json.Marshal(asked) // strings and numbers always marshal
	var numbers []int64
	// Without a granted slot, nothing was written that needs memory.
	err := r.call(ctx, len(list), provesWrites(false), func(ctx context.Context) (err error) {
		numbers, err = acquireScript.Run(ctx, r.client, keys, text).Int64Slice()
		return err
	})
	if err == nil && len(numbers) != 2*len(list) {
		err = fmt.Errorf("%w: unexpected length of the answer", ErrDown)
	}
	if err != nil {
		return nil, err
	}
	acquired := make([]Acquired, len(list))
	for i := range list {
		acquired[i] = Acquired{N: int(numbers[2*i]), Wait: time.Duration(numbers[2*i+1]) * time.Microsecond}
	}
	return acquired, nil
}
