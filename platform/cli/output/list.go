package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// List writes a list in parts, so that it never has to fit into memory.
type List struct {
	p       *Printer
	columns []Column
	widths  []int // of the table's columns; nil before the first part
	count   int
}

// List begins a list. The first column identifies an item.
func (p *Printer) List(columns []Column) *List {
	l := &List{p: p}
	for _, c := range columns {
		if !c.Wide || p.o.Format == Wide || p.o.Format == CSV {
			l.columns = append(l.columns, c)
		}
	}
	return l
}

// Count is how many items were written.
func (l *List) Count() int { return l.count }

// Add writes the next items.
func (l *List) Add(items []json.RawMessage) error {
	first := l.count == 0
	l.count += len(items)
	switch {
	case l.p.o.Quiet:
		return l.ids(items)
	case l.p.o.Format == JSON:
		return l.json(items, first)
	case l.p.o.Format == JSONL:
		for _, item := range items {
			var line bytes.Buffer
			if err := json.Compact(&line, item); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			line.WriteByte('\n')
			if _, err := l.p.safe.Write(line.Bytes()); err != nil {
				return err
			}
		}
		return nil
	case l.p.o.Format == YAML:
		for _, item := range items {
			if err := l.p.yaml(item, true); err != nil {
				return err
			}
		}
		return nil
	case l.p.o.Format == CSV:
		return l.csv(items, first)
	}
	return l.table(items)
}

// End writes what closes the list.
func (l *List) End() error {
	switch {
	case l.p.o.Quiet:
	case l.p.o.Format == JSON && l.count == 0, l.p.o.Format == YAML && l.count == 0:
		_, err := io.WriteString(l.p.safe, "[]\n")
		return err
	case l.p.o.Format == JSON:
		_, err := io.WriteString(l.p.safe, "\n]\n")
		return err
	case l.p.o.Format == CSV && l.count == 0:
		return l.csv(nil, true)
	}
	return nil
}

func (l *List) ids(items []json.RawMessage) error {
	for _, raw := range items {
		item, err := Parse(raw)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(l.p.safe, l.columns[0].plainText(item)); err != nil {
			return err
		}
	}
	return nil
}

func (l *List) json(items []json.RawMessage, first bool) error {
	for i, item := range items {
		lead := ",\n  "
		if first && i == 0 {
			lead = "[\n  "
		}
		var text bytes.Buffer
		text.WriteString(lead)
		if err := json.Indent(&text, item, "  ", "  "); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if _, err := l.p.safe.Write(text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (l *List) csv(items []json.RawMessage, first bool) error {
	w := csv.NewWriter(l.p.safe)
	if first {
		titles := make([]string, len(l.columns))
		for i, c := range l.columns {
			titles[i] = strings.ReplaceAll(strings.ToLower(c.Title), " ", "_")
		}
		_ = w.Write(titles) // Flush's error is the first one
	}
	for _, raw := range items {
		item, err := Parse(raw)
		if err != nil {
			return err
		}
		cells := make([]string, len(l.columns))
		for i, c := range l.columns {
			cells[i] = inert(c.plainText(item))
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return w.Error()
}

// inert keeps a spreadsheet from taking text as a formula.
func inert(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
