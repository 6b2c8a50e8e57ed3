package expression

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// document is a JSON text as expressions see it: whole numbers of up to 64 bits exactly,
// others as doubles. Its spellings give these back as they were written.
type document struct {
	value     any
	spellings spellings
}

// spellings are how a document's doubles were written, such as 1.10.
type spellings map[float64]spelling

// spelling is the first way in which a double was written.
type spelling struct {
	text string
	long bool // it has more digits than a double is sure to keep
	torn bool // another one is a different number to a reader who keeps all digits
}

// sureDigits is how many decimal digits every double keeps.
const sureDigits = 15

func parseDocument(text []byte) (document, error) {
	d := document{spellings: spellings{}}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		return d, fmt.Errorf("read the event: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return d, errors.New("read the event: something follows its JSON")
	}
	d.value = d.spellings.plain(raw)
	return d, nil
}

// plain replaces the numbers of value, in place.
func (s spellings) plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = s.plain(member)
		}
	case []any:
		for i, item := range v {
			v[i] = s.plain(item)
		}
	case json.Number:
		return s.number(v.String())
	}
	return value
}

func (s spellings) number(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
		return n
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	n, _ := strconv.ParseFloat(text, 64) // out of range it is infinite, and its spelling remains
	long := math.IsInf(n, 0) || digits(text) > sureDigits
	known, ok := s[n]
	switch {
	case !ok:
		s[n] = spelling{text: text, long: long}
	case known.text != text && (known.long || long):
		known.torn = true
		s[n] = known
	}
	return n
}

// digits counts the digits of a number that tell something: no zeros before the first, nor
// after the last of a fraction.
func digits(text string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(mantissa, "0")
	}
	return len(strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0"))
}

// write gives a double as it stands in the document, else in the shortest way. It fails
// rather than change a number.
func (s spellings) write(n float64) (string, error) {
	known, ok := s[n]
	switch {
	case known.torn:
		return "", errors.New("the event has numbers with more digits than a double keeps, which cannot be told apart any more")
	case ok:
		return known.text, nil
	case math.IsNaN(n) || math.IsInf(n, 0):
		return "", errors.New("a number is infinite or none, which JSON has no word for")
	}
	text, err := json.Marshal(n)
	return string(text), err
}

// maxTransformed bounds a transformed body.
const maxTransformed = 5 << 20

// writer makes JSON of an expression's result. Names are sorted, so that each attempt at an
// event has the same body.
type writer struct {
	bytes.Buffer
	spellings spellings
	ctx       context.Context //nolint:containedctx // of the evaluation that the body is of
	values    int
}

// timeEvery is after how many values of a body the time is looked at.
const timeEvery = 1024

func (w *writer) value(value ref.Val) error {
	if w.Len() > maxTransformed {
		return fmt.Errorf("the body has more than %d bytes", maxTransformed)
	}
	if w.values++; w.values%timeEvery == 0 && w.ctx.Err() != nil {
		return errors.New(tooLong)
	}
	switch v := value.(type) {
	case types.Int:
		w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(v), 10))
	case types.Null, types.Bool, types.Uint:
		w.plain(v.Value())
	case types.String:
		w.plain(string(v))
	case types.Bytes:
		w.plain(base64.StdEncoding.EncodeToString(v))
	case types.Timestamp:
		w.plain(v.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		w.plain(v.String())
	case types.Double:
		text, err := w.spellings.write(float64(v))
		w.WriteString(text)
		return err
	case *types.Optional:
		if !v.HasValue() {
			return errors.New("an optional value is absent; give it one with orValue")
		}
		return w.value(v.GetValue())
	case traits.Mapper:
		return w.object(v)
	case traits.Lister:
		return w.array(v)
	default:
		return fmt.Errorf("a value of the type %s cannot be JSON", value.Type().TypeName())
	}
	return nil
}

// plain writes what encoding/json writes exactly; <, > and & stay as they are.
func (w *writer) plain(value any) {
	if value == any(types.NullValue.Value()) {
		value = nil
	}
	encoder := json.NewEncoder(&w.Buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // scalars always marshal
	w.Truncate(w.Len() - 1)   // the line's end
}

func (w *writer) object(m traits.Mapper) error {
	members := map[string]ref.Val{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.ConvertToType(types.StringType).(types.String)
		if !ok {
			return fmt.Errorf("a name of the type %s cannot be JSON", key.Type().TypeName())
		}
		members[string(name)] = m.Get(key)
	}
	w.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			w.WriteByte(',')
		}
		w.plain(name)
		w.WriteByte(':')
		if err := w.value(members[name]); err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

func (w *writer) array(l traits.Lister) error {
	w.WriteByte('[')
	first := true
	for it := l.Iterator(); it.HasNext() == types.True; first = false {
		if !first {
			w.WriteByte(',')
		}
		if err := w.value(it.Next()); err != nil {
			return err
		}
	}
	w.WriteByte(']')
	return nil
}
