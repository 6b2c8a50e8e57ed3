package console

import (
	"context"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"
)

// The bounds of what a page reads at once: it is to take as long as its slowest part, and no more
// connections to the database than the gateway can spare.
const (
	readAtOnce = 4
	readWithin = 10 * time.Second
)

// reading is a part of a page that is read from the API.
type reading func(ctx context.Context) error

// into reads what the API has at a path.
func (v *visit) into(path string, query url.Values, out any) reading {
	return func(ctx context.Context) error {
		_, err := v.api.Get(ctx, path, query, out)
		return err
	}
}

// together reads the parts of a page beside each other.
func (v *visit) together(parts ...reading) error {
	ctx, cancel := context.WithTimeout(v.ctx, readWithin)
	defer cancel()
	var all errgroup.Group
	all.SetLimit(readAtOnce)
	for _, read := range parts {
		all.Go(func() error { return read(ctx) })
	}
	return all.Wait()
}

// with is a query with one more parameter.
func with(query url.Values, name, value string) url.Values {
	more := url.Values{name: {value}}
	for each, values := range query {
		more[each] = values
	}
	return more
}
