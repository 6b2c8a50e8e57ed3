package expression

import (
	"errors"
	"fmt"
	"regexp"

	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// The bounds of regular expressions: RE2 takes time by the length of the text times that of
// the program, and a{1000} is a program of a thousand instructions.
const (
	maxPatternSize  = 2000 // instructions
	maxPatternBytes = 256  // of one that the expression does not hold itself
)

// unplanned is no name that CEL's planner knows: under matches it would put its own matching
// in place.
const unplanned = "@matches"

// matching is a call of matches. A pattern that the expression holds itself is compiled once.
type matching struct {
	interpreter.InterpretableCall
	args    []interpreter.InterpretableV2
	pattern *pattern
}

type pattern struct {
	*regexp.Regexp
	size uint64
}

func newMatching(n interpreter.InterpretableCall) (*matching, error) {
	m := &matching{InterpretableCall: n, args: n.Args()}
	if len(m.args) != 2 {
		return nil, errors.New("matches takes one regular expression")
	}
	constant, ok := m.args[1].(interpreter.InterpretableConst)
	if !ok {
		return m, nil
	}
	text, ok := constant.Value().(types.String)
	if !ok {
		return m, nil
	}
	p, err := compilePattern(string(text))
	m.pattern = p
	return m, err
}

func compilePattern(text string) (*pattern, error) {
	size, err := types.RegexProgramSize(text)
	if err != nil {
		return nil, err
	}
	if size > maxPatternSize {
		return nil, fmt.Errorf("a regular expression has %d instructions, and at most %d are allowed; use shorter repetitions", size, maxPatternSize)
	}
	compiled, err := regexp.Compile(text)
	return &pattern{compiled, uint64(size)}, err //nolint:gosec // not negative
}

// Function is no name that the planner knows.
func (*matching) Function() string { return unplanned }

// OverloadID is none that the planner knows.
func (*matching) OverloadID() string { return "" }

// Exec is the node's evaluation.
func (n *matching) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	var space [2]ref.Val
	args, failed := arguments(frame, n.args, space[:0])
	if failed != nil {
		return failed
	}
	text, ok := args[0].(types.String)
	expression, also := args[1].(types.String)
	if !ok || !also {
		return types.NewErr("no such overload: %s", overloads.Matches)
	}
	m, p := meterOf(frame), n.pattern
	if p == nil {
		if len(expression) > maxPatternBytes {
			return types.NewErr("a regular expression that the event holds may have at most %d bytes", maxPatternBytes)
		}
		if m != nil {
			m.charge(maxPatternBytes)
		}
		var err error
		if p, err = compilePattern(string(expression)); err != nil {
			return types.WrapErr(err)
		}
	}
	if m != nil {
		m.charge(1 + uint64(len(text)+1)*p.size/stepsPerUnit)
	}
	return types.Bool(p.MatchString(string(text)))
}

// Eval is Exec for what knows no frames.
func (n *matching) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}
