package expression

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// planned puts metered nodes in place of those that CEL plans.
type planned struct {
	own map[string]*functions.Overload
}

// newPlanned finds CEL's own functions of an environment.
func newPlanned(env *cel.Env) planned {
	p := planned{own: map[string]*functions.Overload{}}
	for _, f := range env.Functions() {
		if _, metered := table[f.Name()]; !metered {
			continue
		}
		bindings, err := f.Bindings()
		if err != nil {
			panic(err) // a mistake in the environment; the tests meet it first
		}
		for _, b := range bindings {
			p.own[b.Operator] = b
		}
	}
	return p
}

func (p planned) decorate(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch n := node.(type) {
	case *metered, *built, *matching:
		return node, nil
	case interpreter.InterpretableCall:
		return p.call(n)
	case interpreter.InterpretableConstructor:
		if slices.ContainsFunc(n.InitVals(), func(v interpreter.InterpretableV2) bool { _, is := v.(interpreter.InterpretableConst); return !is }) {
			return &built{n}, nil
		}
	}
	return node, nil
}

func (p planned) call(n interpreter.InterpretableCall) (interpreter.InterpretableV2, error) {
	if n.Function() == overloads.Matches {
		return newMatching(n)
	}
	o, ok := table[n.Function()]
	if !ok {
		return n, nil
	}
	run := o.run
	if run == nil {
		own := p.own[n.OverloadID()]
		if own == nil {
			own = p.own[n.Function()]
		}
		if own == nil {
			return nil, fmt.Errorf("the function %s cannot be metered", n.Function())
		}
		run = func(args []ref.Val) ref.Val { return runOwn(own, args) }
	}
	return &metered{n, n.Args(), o.charge, run}, nil
}

// runOwn calls a function of CEL as its interpreter does.
func runOwn(f *functions.Overload, args []ref.Val) ref.Val {
	if f.OperandTrait != 0 && !args[0].Type().HasTrait(f.OperandTrait) {
		return types.NewErr("no such overload: %s", f.Operator)
	}
	switch {
	case len(args) == 1 && f.Unary != nil:
		return f.Unary(args[0])
	case len(args) == 2 && f.Binary != nil:
		return f.Binary(args[0], args[1])
	case f.Function != nil:
		return f.Function(args...)
	}
	return types.NewErr("no such overload: %s", f.Operator)
}

// metered is a call of a function of table.
type metered struct {
	interpreter.InterpretableCall
	args   []interpreter.InterpretableV2
	charge func(*meter, []ref.Val)
	run    func([]ref.Val) ref.Val
}

// arguments evaluates a call's arguments; failed is the first that is none.
func arguments(frame *interpreter.ExecutionFrame, nodes []interpreter.InterpretableV2, into []ref.Val) (args []ref.Val, failed ref.Val) {
	for _, node := range nodes {
		v := node.Exec(frame)
		if types.IsUnknownOrError(v) {
			return nil, v
		}
		into = append(into, v)
	}
	return into, nil
}

// Exec is the node's evaluation.
func (n *metered) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	var space [4]ref.Val
	args, failed := arguments(frame, n.args, space[:0])
	if failed != nil {
		return failed
	}
	if m := meterOf(frame); m != nil {
		n.charge(m, args)
	}
	return n.run(args)
}

// Eval is Exec for what knows no frames.
func (n *metered) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// built is a list or map that an expression makes. All that it holds is charged for, so that
// nothing grows faster than what is paid.
type built struct {
	interpreter.InterpretableConstructor
}

// Exec is the node's evaluation.
func (n *built) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := n.InterpretableConstructor.Exec(frame)
	if m := meterOf(frame); m != nil && !types.IsUnknownOrError(v) {
		m.chargeSize(v, held)
	}
	return v
}

// Eval is Exec for what knows no frames.
func (n *built) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}
