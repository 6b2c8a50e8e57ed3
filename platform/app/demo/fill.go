package demo

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"integration-gateway/platform/client"
)

// fill makes what a week of operation leaves.
func (w *world) fill(ctx context.Context) error {
	for _, step := range []func(context.Context) error{w.setUp, w.colleagues, w.traffic, w.refusals, w.rotate, w.operate} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// setUp makes the integrations. Those of an earlier demo in the same folder go on, with their
// destinations moved to the ports of today.
func (w *world) setUp(ctx context.Context) (err error) {
	var there []integration
	if _, err := w.admin.Get(ctx, "/integrations", nil, &there); err != nil {
		return err
	}
	w.sources = sources()
	for _, s := range w.sources {
		if s.spec, err = specOf(s.provider); err != nil {
			return err
		}
		i := slices.IndexFunc(there, func(one integration) bool { return one.Source == s.name })
		if i < 0 {
			err = w.add(ctx, s)
		} else {
			err = w.adopt(ctx, s, there[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// integration is what the demo knows of one.
type integration struct {
	ID           string `json:"id"`
	Source       string `json:"source"`
	Destinations []struct {
		ID string `json:"id"`
	} `json:"destinations"`
}

func (s *source) is(made integration) {
	s.id = made.ID
	for _, d := range made.Destinations {
		s.destinations = append(s.destinations, "/integrations/"+made.ID+"/destinations/"+d.ID)
	}
}

func (w *world) add(ctx context.Context, s *source) error {
	var to []map[string]any
	for _, path := range s.paths {
		to = append(to, map[string]any{"url": w.receiver.url + path})
	}
	var made integration
	body := map[string]any{"source": s.name, "provider": s.provider, "name": s.title, "secrets": []string{s.secret}, "destinations": to}
	if err := w.admin.Post(ctx, "/integrations", body, &made); err != nil {
		return err
	}
	s.is(made)
	return nil
}

func (w *world) adopt(ctx context.Context, s *source, made integration) error {
	s.is(made)
	for i, path := range s.destinations {
		if i < len(s.paths) {
			if err := w.admin.Patch(ctx, path, map[string]any{"url": w.receiver.url + s.paths[i]}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// colleagues makes keys, and the client of one whom the audit trail then names.
func (w *world) colleagues(ctx context.Context) error {
	type key struct{ ID, Key string }
	create := func(name, role string, of ...string) (made key, err error) {
		body := map[string]any{"name": name, "role": role}
		if len(of) > 0 {
			body["sources"], body["expiresAt"] = of, "2099-01-01T00:00:00Z"
		}
		err = w.admin.Post(ctx, "/api-keys", body, &made)
		return made, err
	}
	if _, err := create("shop-support", "viewer", w.named("storefront").name); err != nil && !conflicts(err) {
		return err
	}
	old, err := create("former-dashboard", "viewer")
	if err == nil {
		err = w.admin.Delete(ctx, "/api-keys/"+old.ID, nil, nil)
	}
	if err != nil && !conflicts(err) {
		return err
	}
	grace, err := create("grace", "operator")
	switch {
	case conflicts(err): // from an earlier demo, whose text nobody has
		w.operator = w.admin
		return nil
	case err != nil:
		return err
	}
	w.operator, err = client.New(client.Options{URL: w.o.URL, Key: grace.Key, UserAgent: "gateway-demo"})
	return err
}

// traffic sends what was accepted: most is delivered, some fails.
func (w *world) traffic(ctx context.Context) error {
	for i := range 120 {
		s := w.pick()
		sample := s.pick(w.chance)
		if round := i / len(w.sources); round < 5 { // each of every kind
			s = w.sources[i%len(w.sources)]
			sample = s.about(w.chance, round%len(s.payloads))
		}
		if _, err := w.send(ctx, s, sample, valid); err != nil {
			return err
		}
	}
	return nil
}

// refusals sends what ends in quarantine, for several reasons.
func (w *world) refusals(ctx context.Context) error {
	for _, r := range []struct {
		source string
		how    manner
		times  int
	}{{"payments", forged, 4}, {"payments", stale, 2}, {"engineering", unsigned, 2}, {"storefront", forged, 1}, {"payments", unreadable, 1}} {
		s := w.named(r.source)
		for range r.times {
			if _, err := w.send(ctx, s, s.pick(w.chance), r.how); err != nil {
				return err
			}
		}
	}
	return nil
}

// rotate gives a source a second secret, with which it signs from now on.
func (w *world) rotate(ctx context.Context) error {
	for _, s := range w.sources {
		if s.next == "" {
			continue
		}
		body := map[string]any{"value": s.next, "note": "yearly rotation, ticket SEC-114"}
		if err := w.admin.Post(ctx, "/integrations/"+s.id+"/secrets", body, nil); err != nil && !conflicts(err) {
			return err
		}
		s.secret = s.next
	}
	return nil
}

// named is the source that was called so at first.
func (w *world) named(name string) *source {
	for i, s := range sources() {
		if s.name == name {
			return w.sources[i]
		}
	}
	return w.sources[0]
}

// conflicts reports whether something of that name exists.
func conflicts(err error) bool {
	failed, is := err.(*client.Error) //nolint:errorlint // the client's own, which it never wraps
	return is && failed.Status == http.StatusConflict
}

// first returns the id of the first row of a list; "" if there is none.
func first(ctx context.Context, c *client.Client, path string, query url.Values) string {
	var rows []struct {
		ID string `json:"id"`
	}
	if _, err := c.Get(ctx, path, query, &rows); err != nil || len(rows) == 0 {
		return ""
	}
	return rows[0].ID
}
