package expression

import (
	"strings"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// What one unit pays for.
const (
	bytesPerUnit  = 16   // of a text that is made
	charsPerUnit  = 4    // of a text that is read as runes
	stepsPerUnit  = 16   // of a regular expression or a search
	timeZoneUnits = 1000 // a time zone, whose rules are read from a file
)

// mapInsert is how the macros over maps collect.
const mapInsert = "cel.@mapInsert"

// operation is a function whose arguments are charged for before it runs.
type operation struct {
	charge func(m *meter, args []ref.Val)
	run    func(args []ref.Val) ref.Val // nil for CEL's own
}

// table has all functions that may take longer, or make more, than one unit pays for.
// What is not in it takes no longer for long arguments than for short ones.
var table = map[string]operation{
	operators.Equals:    {chargeEqual, func(a []ref.Val) ref.Val { return types.Equal(a[0], a[1]) }},
	operators.NotEquals: {chargeEqual, func(a []ref.Val) ref.Val { return types.Bool(types.Equal(a[0], a[1]) != types.True) }},
	operators.In:        {chargeIn, nil},
	operators.OldIn:     {chargeIn, nil},
	operators.Add:       {chargeAdd, add},
	mapInsert:           {func(m *meter, a []ref.Val) { m.chargeSize(a[len(a)-1], held) }, nil},
	overloads.Size:      {chargeTexts, nil}, // of a text, whose characters are counted
	overloads.Contains:  {chargeTexts, nil}, overloads.StartsWith: {chargeTexts, nil}, overloads.EndsWith: {chargeTexts, nil},
	"charAt": {chargeTexts, nil}, "lowerAscii": {chargeTexts, nil}, "upperAscii": {chargeTexts, nil}, "reverse": {chargeTexts, nil},
	"substring": {chargeTexts, nil}, "trim": {chargeTexts, nil}, "strings.quote": {chargeTexts, nil}, "split": {chargeTexts, nil},
	"indexOf": {chargeSearch, nil}, "lastIndexOf": {chargeSearch, nil},
	"replace": {chargeReplace, nil}, "join": {chargeJoin, nil}, "format": {chargeFormat, nil},
	overloads.TypeConvertString: {chargeTexts, nil}, overloads.TypeConvertBytes: {chargeTexts, nil}, overloads.TypeConvertInt: {chargeTexts, nil},
	overloads.TypeConvertUint: {chargeTexts, nil}, overloads.TypeConvertDouble: {chargeTexts, nil}, overloads.TypeConvertBool: {chargeTexts, nil},
	overloads.TypeConvertTimestamp: {chargeTexts, nil}, overloads.TypeConvertDuration: {chargeTexts, nil},
	overloads.TimeGetFullYear: {chargeZone, nil}, overloads.TimeGetMonth: {chargeZone, nil}, overloads.TimeGetDayOfYear: {chargeZone, nil},
	overloads.TimeGetDayOfMonth: {chargeZone, nil}, overloads.TimeGetDate: {chargeZone, nil}, overloads.TimeGetDayOfWeek: {chargeZone, nil},
	overloads.TimeGetHours: {chargeZone, nil}, overloads.TimeGetMinutes: {chargeZone, nil}, overloads.TimeGetSeconds: {chargeZone, nil},
	overloads.TimeGetMilliseconds: {chargeZone, nil},
}

// chargeEqual charges for a comparison: nothing where the lengths tell the answer.
func chargeEqual(m *meter, args []ref.Val) {
	if _, optional := args[0].(*types.Optional); optional {
		m.chargeSize(args[0], compared)
		return
	}
	a, aSized := args[0].(traits.Sizer)
	b, bSized := args[1].(traits.Sizer)
	if !aSized || !bSized || args[0].Type() != args[1].Type() {
		m.charge(1)
		return
	}
	if _, text := args[0].(types.String); !text && a.Size() != b.Size() {
		m.charge(1)
		return
	}
	m.chargeSize(args[0], compared)
}

// chargeIn charges for the list that is searched. A map is not.
func chargeIn(m *meter, args []ref.Val) {
	if _, isMap := args[1].(traits.Mapper); isMap {
		m.charge(1)
		return
	}
	m.chargeSize(args[1], compared)
}

// chargeAdd charges for what + makes: all of a text or list anew, but for the list that a
// loop collects in.
func chargeAdd(m *meter, args []ref.Val) {
	units := uint64(1)
	switch a := args[0].(type) {
	case types.String, types.Bytes:
		chargeTexts(m, args)
		return
	case traits.MutableLister:
	case traits.Lister:
		if b, ok := args[1].(traits.Lister); ok {
			units += uint64(a.Size().(types.Int) + b.Size().(types.Int)) //nolint:gosec // sizes
		}
	}
	m.charge(units)
}

// add is CEL's +, which makes of two lists a view of both: of many it would be one that
// takes long to look at.
func add(args []ref.Val) ref.Val {
	adder, ok := args[0].(traits.Adder)
	if !ok {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	sum := adder.Add(args[1])
	if _, collects := args[0].(traits.MutableLister); collects {
		return sum
	}
	list, ok := sum.(traits.Lister)
	if !ok {
		return sum
	}
	size, _ := list.Size().(types.Int)
	items := make([]ref.Val, size)
	for i := range items {
		items[i] = list.Get(types.Int(i))
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items)
}

func textLength(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	}
	return 0
}

// chargeTexts charges for all texts that a function is given: it makes runes of them.
func chargeTexts(m *meter, args []ref.Val) {
	units := uint64(1)
	for _, a := range args {
		units += textLength(a) / charsPerUnit
	}
	m.charge(units)
}

func chargeZone(m *meter, args []ref.Val) {
	if len(args) > 1 {
		m.charge(timeZoneUnits)
		return
	}
	m.charge(1)
}

// chargeSearch charges for a search that may compare the one text at each place of the other.
func chargeSearch(m *meter, args []ref.Val) {
	chargeTexts(m, args)
	m.charge(textLength(args[0]) * max(1, textLength(args[1])) / stepsPerUnit)
}

// chargeReplace charges for the text that it makes.
func chargeReplace(m *meter, args []ref.Val) {
	chargeTexts(m, args)
	text, _ := args[0].(types.String)
	old, _ := args[1].(types.String)
	times := uint64(strings.Count(string(text), string(old))) //nolint:gosec // not negative
	m.charge(times * textLength(args[2]) / bytesPerUnit)
}

// chargeJoin charges for the text that it makes.
func chargeJoin(m *meter, args []ref.Val) {
	m.chargeSize(args[0], compared)
	list, ok := args[0].(traits.Lister)
	if !ok {
		return
	}
	size, _ := list.Size().(types.Int)
	var bytes uint64
	for i := range size {
		bytes += textLength(list.Get(i))
	}
	if len(args) > 1 {
		bytes += uint64(size) * textLength(args[1]) //nolint:gosec // not negative
	}
	m.charge(bytes / bytesPerUnit)
}

// chargeFormat charges for the text that it makes: of each argument once.
func chargeFormat(m *meter, args []ref.Val) {
	chargeTexts(m, args)
	before := m.remaining()
	m.chargeSize(args[1], compared)
	m.charge((before - m.remaining()) * bytesPerNode / bytesPerUnit)
}
