package demo

import (
	"context"
	"net/url"
)

// operate does what operators do: replays, a pause, an erasure, and alerts that open soon.
func (w *world) operate(ctx context.Context) error {
	work, chat := w.named("engineering"), w.named("workspace")
	put := func(condition string, threshold int, reason string) error {
		return w.admin.Put(ctx, "/alerts/conditions/"+condition, map[string]any{"threshold": threshold, "reason": reason}, nil)
	}
	for _, step := range []func() error{
		func() error { return put("destination_failing", 70, "some orders fail, and that is known") },
		func() error { return put("quarantine", 3, "the demo shows an alert early") },
		func() error {
			return w.operator.Post(ctx, chat.destinations[1]+"/pause", map[string]any{"reason": "the analytics cluster is being moved"}, nil)
		},
		func() error {
			return w.operator.Post(ctx, "/replays", map[string]any{"filter": map[string]any{"source": work.name}, "rate": 200,
				"reason": "the build server lost its queue", "requestedBy": "grace"}, nil)
		},
		func() error { return w.replaySlowly(ctx) },
		func() error {
			return w.operator.Post(ctx, "/events/"+w.ids[work.name][0]+"/replay", map[string]any{"reason": "the deploy has to run again", "requestedBy": "grace"}, nil)
		},
		func() error {
			return w.admin.Post(ctx, "/erasures", map[string]any{"eventIds": w.ids[w.named("support").name][:1], "reason": "request for erasure, ticket PRIV-27"}, nil)
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// replaySlowly begins a replay of a source that takes minutes.
func (w *world) replaySlowly(ctx context.Context) error {
	return w.operator.Post(ctx, "/replays", map[string]any{"filter": map[string]any{"source": w.named("storefront").name}, "rate": 1,
		"reason": "the warehouse was restored from a backup", "requestedBy": "grace"}, nil)
}

// reaction is something that an operator does once there is cause; it reports whether it is done.
type reaction func(ctx context.Context) bool

// reactions are what happens while the demo runs.
func (w *world) reactions() []reaction {
	alert := func(ctx context.Context, condition string) string {
		return first(ctx, w.admin, "/alerts", url.Values{"state": {"open"}, "condition": {condition}})
	}
	return []reaction{
		func(ctx context.Context) bool { // somebody takes care of one alert
			id := alert(ctx, "dead_letters")
			return id != "" && w.operator.Post(ctx, "/alerts/"+id+"/acknowledge", map[string]any{"note": "the team that owns it has been told"}, nil) == nil
		},
		func(ctx context.Context) bool { // another ends with its cause
			return alert(ctx, "quarantine") != "" && w.admin.Delete(ctx, "/alerts/conditions/quarantine", nil, nil) == nil
		},
		func(ctx context.Context) bool { // there is a replay to watch, for a while
			var all []struct {
				Status string `json:"status"`
			}
			if _, err := w.admin.Get(ctx, "/replays", nil, &all); err != nil || len(all) > 0 && all[0].Status == "running" {
				return false
			}
			return len(all) > 8 || w.replaySlowly(ctx) != nil
		},
		func(ctx context.Context) bool { // one dead letter is tried again, and fails again
			id := first(ctx, w.operator, "/dead-letters", url.Values{"status": {"open"}, "kind": {"exhausted"}})
			return id != "" && w.operator.Post(ctx, "/dead-letters/"+id+"/requeue", map[string]any{"reason": "the stock was corrected", "requestedBy": "grace"}, nil) == nil
		},
	}
}

// react tries what is still to do, and returns what is left.
func (w *world) react(ctx context.Context, todo []reaction) []reaction {
	var left []reaction
	for _, r := range todo {
		if !r(ctx) {
			left = append(left, r)
		}
	}
	return left
}
