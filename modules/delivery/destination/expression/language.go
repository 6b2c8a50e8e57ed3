// Package expression is the language in which a destination says which events it wants
// and what they look like there: CEL, https://cel.dev. An expression is compiled once; it
// has no effects, always ends, and costs no more than a bound.
package expression

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

// The bounds of an expression: its length, its nesting, and what it may cost in the
// language's own units, of which a million take about 50 ms.
const (
	MaxBytes      = 4096
	maxNesting    = 100
	FilterCost    = 100_000
	TransformCost = 1_000_000
	maxErrorBytes = 300
	maxErrorRead  = 64 << 10 // of an error of CEL, which may repeat a text of the event
)

// interruptEvery is after how many rounds of a loop the time is looked at.
const interruptEvery = 8

// Language compiles expressions. They see eventType, subject, source, provider, headers,
// payload (the canonical event) and data (what the provider sent, as the event has it).
type Language struct {
	env     *cel.Env
	planned planned
}

// New makes the language ready.
func New() Language {
	env, err := cel.NewEnv(
		cel.Variable("eventType", cel.StringType),
		cel.Variable("subject", cel.StringType),
		cel.Variable("source", cel.StringType),
		cel.Variable("provider", cel.StringType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("payload", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("data", cel.DynType),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Bindings(),
		ext.TwoVarComprehensions(),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(MaxBytes),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	)
	if err != nil {
		panic(err) // a mistake in the list above; the tests meet it first
	}
	return Language{env, newPlanned(env)}
}

// program is a compiled expression, and how much an evaluation may cost.
type program struct {
	cel.Program
	text    string
	tracker *cost.Tracker
}

// Filter is an expression that says which events are wanted.
type Filter struct{ program program }

// Filter compiles a filter. The error finishes a sentence that starts with the field's name.
func (l Language) Filter(text string) (Filter, error) {
	program, kind, err := l.compile(text, FilterCost)
	if err == nil && kind != cel.BoolKind && kind != cel.DynKind {
		err = errors.New("must be true or false for each event, such as eventType == 'order.created'")
	}
	return Filter{program}, err
}

// Transform is an expression that gives a body.
type Transform struct{ program program }

// Transform compiles a transformation. The error finishes a sentence that starts with the
// field's name.
func (l Language) Transform(text string) (Transform, error) {
	program, _, err := l.compile(text, TransformCost)
	return Transform{program}, err
}

func (l Language) compile(text string, limit uint64) (program, cel.Kind, error) {
	if len(text) > MaxBytes {
		return program{}, 0, fmt.Errorf("must have at most %d bytes", MaxBytes)
	}
	if strings.ContainsRune(text, 0) {
		return program{}, 0, errors.New(`must not hold the character NUL, which not every database can keep; write it as \u0000`)
	}
	ast, issues := l.env.Compile(text)
	if issues != nil && issues.Err() != nil {
		first := issues.Errors()[0]
		return program{}, 0, fmt.Errorf("is no valid CEL expression: line %d, column %d: %s",
			first.Location.Line(), first.Location.Column()+1, short(first.Message))
	}
	compiled, err := l.env.Program(ast, cel.CustomDecoratorV2(l.planned.decorate), cel.EvalOptions(cel.OptOptimize),
		cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		return program{}, 0, fmt.Errorf("cannot be evaluated: %s", short(err.Error()))
	}
	tracker, err := cost.NewTracker(nil, cost.TrackerLimit(limit))
	return program{compiled, text, tracker}, ast.OutputType().Kind(), err
}

// Matches says whether an event is wanted. It fails with ErrLacking when the filter asks
// for something that the event does not have, and when it costs more than it may or ctx ends.
func (f Filter) Matches(ctx context.Context, facts *Facts) (bool, error) {
	value, err := f.program.eval(ctx, facts)
	if err != nil {
		return false, err
	}
	wanted, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it gave a %s, neither true nor false", value.Type().TypeName())
	}
	return bool(wanted), nil
}

// Body gives the JSON that an event becomes. Whatever goes wrong, no number is changed. It
// fails when the transformation costs more than it may or ctx ends.
func (t Transform) Body(ctx context.Context, facts *Facts) ([]byte, error) {
	value, err := t.program.eval(ctx, facts)
	if err != nil {
		return nil, err
	}
	doc, err := facts.document()
	if err != nil {
		return nil, err
	}
	w := writer{spellings: doc.spellings, ctx: ctx}
	if err := w.value(value); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

// ErrLacking is in what evaluation fails with where the event lacks what was asked for.
var ErrLacking = errors.New("the event does not have it")

// lacking is that error, saying what.
type lacking struct{ text string }

func (l lacking) Error() string { return l.text }
func (lacking) Unwrap() error   { return ErrLacking }

// tooLong is why an evaluation ends whose time is over.
const tooLong = "it took longer than it may"

// eval gives the value of the expression, and adds its cost to that of the facts.
func (p program) eval(ctx context.Context, facts *Facts) (ref.Val, error) {
	frame, err := interpreter.NewExecutionFrame(facts.vars)
	if err != nil {
		return nil, err
	}
	defer frame.Close()
	if err := frame.SetContext(ctx, interruptEvery); err != nil {
		return nil, err
	}
	m := newMeter(ctx, p.tracker)
	frame.SetCostTracker(m.tracker)
	value, _, err := p.Eval(frame)
	facts.cost += m.tracker.ActualCost()
	switch {
	case err == nil:
		return value, nil
	case errors.Is(err, interpreter.InterruptError{}):
		return nil, errors.New(tooLong)
	}
	return nil, p.problem(err)
}

// problem is an error of CEL in one line that repeats nothing of the event.
func (p program) problem(err error) error {
	text := strings.TrimPrefix(err.Error(), "evaluation error: ")
	if len(text) > maxErrorRead {
		return errors.New("it failed over a text that is too long to say more")
	}
	for _, lack := range []string{"no such key: ", "index out of bounds: "} {
		if what, ok := strings.CutPrefix(text, lack); ok {
			if !strings.Contains(p.text, what) {
				return lacking{strings.TrimSuffix(lack, ": ")}
			}
			return lacking{short(text)}
		}
	}
	return errors.New(short(valueOfEvent.ReplaceAllString(text, "…")))
}

// valueOfEvent finds what an error repeats of the event. It is kept longer than the event
// itself may be, in the audit trail among others.
var valueOfEvent = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|(?s:`.*`)")

// short makes one line of a message, of bounded length.
func short(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "\uFFFD")
	if len(text) > maxErrorBytes {
		text = strings.ToValidUTF8(text[:maxErrorBytes], "") + "…"
	}
	return text
}
