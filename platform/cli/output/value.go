package output

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Parse reads an item; numbers keep their digits.
func Parse(raw []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var item map[string]any
	if err := decoder.Decode(&item); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return item, nil
}

// At returns the value at a path with dots, nil if there is none.
func At(item map[string]any, path string) any {
	var value any = item
	for part := range strings.SplitSeq(path, ".") {
		fields, _ := value.(map[string]any)
		value = fields[part]
	}
	return value
}

// TextAt returns the value at a path as text; "" for null.
func TextAt(item map[string]any, path string) string { return textOf(At(item, path)) }

func textOf(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool, json.Number:
		return fmt.Sprint(v)
	case []any:
		parts := make([]string, len(v))
		for i, each := range v {
			parts[i] = textOf(each)
		}
		return strings.Join(parts, ", ")
	}
	text, _ := json.Marshal(value) // it was read from JSON
	return string(text)
}

// plainText is a cell for CSV.
func (c Column) plainText(item map[string]any) string {
	if c.Of != nil {
		return c.Of(item)
	}
	text := TextAt(item, c.Path)
	if c.Apply != nil {
		return c.Apply(text)
	}
	return text
}

// cell is a cell for people: cleaned, on one line, "-" where there is nothing.
func (p *Printer) cell(c Column, item map[string]any) string {
	return p.Shown(c.Kind, c.plainText(item))
}

// Shown writes a value for people, on one line.
func (p *Printer) Shown(kind Kind, text string) string {
	switch kind {
	case Time, Age:
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			if text = p.Relative(t); kind == Age {
				text = strings.TrimSuffix(text, " ago")
			}
			return text
		}
	case Millis:
		if text != "" {
			text += " ms"
		}
	case Body:
		if bytes, err := base64.StdEncoding.DecodeString(text); err == nil && text != "" {
			return fmt.Sprintf("%q", bytes) // it may hold anything
		}
	default:
	}
	if text = Clean(text); text == "" {
		return "-"
	}
	return text
}

// Exact writes a time for details: absolute, and its distance from now.
func (p *Printer) Exact(text string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case text == "":
		return "-"
	case err != nil:
		return Clean(text)
	case p.o.UTC:
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return t.UTC().Format("2006-01-02 15:04:05.000Z") + " (" + p.Relative(t) + ")"
}
