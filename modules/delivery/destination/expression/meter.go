package expression

import (
	"context"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// meter counts what one evaluation costs. CEL's own tracker counts an operation after it
// ran, and by the length of a list alone; what the operations of table cost depends on all
// that their arguments hold, so that they are charged for it before they run.
type meter struct {
	tracker *cost.Tracker
	ctx     context.Context //nolint:containedctx // of the evaluation, which the meter does not outlive
	pending uint64
}

// chargeName is the name under which the meter charges the tracker.
const chargeName = "@charge"

// sizeCharge is that charge as the tracker sees calls.
type sizeCharge struct{}

func (sizeCharge) Function() string   { return chargeName }
func (sizeCharge) OverloadID() string { return "" }

// newMeter gives a meter with a limit of its own from a tracker that knows it.
func newMeter(ctx context.Context, template *cost.Tracker) *meter {
	tracker, _ := template.Clone() // never fails
	m := &meter{tracker: tracker, ctx: ctx}
	tracker.Estimator = m
	return m
}

// CallCost gives the tracker what charge is charging.
func (m *meter) CallCost(function, _ string, _ []ref.Val, _ ref.Val) *uint64 {
	if function != chargeName {
		return nil
	}
	return &m.pending
}

// charge ends the evaluation when it costs more than it may, or lasts longer.
func (m *meter) charge(units uint64) {
	if m.ctx.Err() != nil {
		panic(interpreter.EvalCancelledError{Cause: interpreter.ContextCancelled, Message: tooLong})
	}
	m.pending = units
	m.tracker.EvalZeroArity(nil, 0, sizeCharge{}, nil)
}

// remaining is what may be charged still.
func (m *meter) remaining() uint64 {
	return *m.tracker.Limit - min(*m.tracker.Limit, m.tracker.ActualCost())
}

// meterOf finds an evaluation's meter; nil where a constant is worked out as an expression
// is compiled.
func meterOf(frame *interpreter.ExecutionFrame) *meter {
	tracker := frame.CostTracker()
	if tracker == nil {
		return nil
	}
	m, _ := tracker.Estimator.(*meter)
	return m
}

// The size of a value counts every value that it holds, each as often as it is reached,
// and the bytes of its texts.
const (
	compared     = 1   // values that one unit pays for, where each is worked on
	held         = 4   // where they are only held
	bytesPerNode = 128 // of a text that is compared or found
)

// chargeSize charges for all that a value holds, of which a unit pays for so many. It looks
// no further than may be charged.
func (m *meter) chargeSize(v ref.Val, perUnit int) {
	left := int(min(m.remaining()+1, 1<<40)) * perUnit //nolint:gosec // bounded
	scale := sizer{left: left}
	scale.value(v)
	m.charge(uint64(max(1, (left-scale.left)/perUnit))) //nolint:gosec // positive
}

// sizer takes the size of values from left, and stops when nothing is.
type sizer struct{ left int }

func (s *sizer) text(bytes int) { s.left -= 1 + bytes/bytesPerNode }

func (s *sizer) value(v ref.Val) {
	switch v := v.(type) {
	case types.String:
		s.text(len(v))
	case types.Bytes:
		s.text(len(v))
	case *types.Optional:
		s.left--
		if v.HasValue() {
			s.value(v.GetValue())
		}
	case traits.Mapper:
		s.mapper(v)
	case traits.Lister:
		s.lister(v)
	default:
		s.left--
	}
}

func (s *sizer) lister(l traits.Lister) {
	s.left--
	switch items := l.Value().(type) {
	case []any:
		s.natives(items)
		return
	case []ref.Val:
		for i := 0; i < len(items) && s.left > 0; i++ {
			s.value(items[i])
		}
		return
	}
	size, _ := l.Size().(types.Int)
	for i := types.Int(0); i < size && s.left > 0; i++ {
		s.value(l.Get(i))
	}
}

func (s *sizer) mapper(m traits.Mapper) {
	s.left--
	if native, ok := m.Value().(map[string]any); ok {
		s.object(native)
		return
	}
	for it := m.Iterator(); s.left > 0 && it.HasNext() == types.True; {
		key := it.Next()
		s.value(key)
		s.value(m.Get(key))
	}
}

// native is a value of the event's JSON.
func (s *sizer) native(v any) {
	switch v := v.(type) {
	case string:
		s.text(len(v))
	case []any:
		s.left--
		s.natives(v)
	case map[string]any:
		s.left--
		s.object(v)
	default:
		s.left--
	}
}

func (s *sizer) natives(list []any) {
	for _, item := range list {
		if s.left <= 0 {
			return
		}
		s.native(item)
	}
}

func (s *sizer) object(members map[string]any) {
	for name, member := range members {
		if s.left <= 0 {
			return
		}
		s.text(len(name))
		s.native(member)
	}
}
