package destination

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"integration-gateway/modules/delivery/destination/expression"
)

// filter and transform are a destination's compiled expressions. err is set if one does not
// compile: another version of the program stored it.
type (
	filter struct {
		expression.Filter
		err error
	}
	transform struct {
		expression.Transform
		err error
	}
)

// Compile compiles the destination's expressions when they are first used, once per text:
// compiling takes far longer than reading a row.
func (d *Destination) Compile(l expression.Language, before *Destination) {
	switch {
	case d.Filter == "":
	case d.Filter == before.Filter && before.filter != nil:
		d.filter = before.filter
	default:
		text := d.Filter
		d.filter = sync.OnceValue(func() filter {
			compiled, err := l.Filter(text)
			return filter{compiled, asSentence(err)}
		})
	}
	switch {
	case d.Transform == "":
	case d.Transform == before.Transform && before.transform != nil:
		d.transform = before.transform
	default:
		text := d.Transform
		d.transform = sync.OnceValue(func() transform {
			compiled, err := l.Transform(text)
			return transform{compiled, asSentence(err)}
		})
	}
}

// asSentence turns an error that completes a sentence into a whole one.
func asSentence(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it %w", err)
}

// Wants reports whether the destination's filter matches an event, with a reason unless it is
// a plain match. A filter on a field that the event lacks does not match. A filter that cannot
// be evaluated excludes nothing: an extra delivery does less harm than a missing one.
func (d *Destination) Wants(ctx context.Context, facts *expression.Facts) (wanted bool, reason string) {
	if d.filter == nil {
		return true, ""
	}
	compiled := d.filter()
	err := compiled.err
	if err == nil {
		wanted, err = compiled.Matches(ctx, facts)
	}
	switch {
	case errors.Is(err, expression.ErrLacking):
		return false, "its filter uses a field that the event does not have: " + err.Error()
	case err != nil:
		return true, Unclear(err.Error())
	case !wanted:
		return false, "its filter did not match"
	}
	return true, ""
}

// Unclear returns why an event is sent although the destination's filter has no answer.
func Unclear(why string) string { return "its filter could not be evaluated: " + why }

// TransformError returns why the destination's transformation is unusable, or nil.
func (d *Destination) TransformError() error { return d.transform().err }

// Body applies the destination's transformation to an event.
func (d *Destination) Body(ctx context.Context, facts *expression.Facts) ([]byte, error) {
	return d.transform().Body(ctx, facts)
}
