package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Field is a line of a single item.
type Field struct {
	Name string
	Text string
	Kind Kind
}

// One writes a single item: in JSON, JSON lines, YAML and CSV as the API gave it, in quiet
// mode its id, and for people by show.
func (p *Printer) One(raw json.RawMessage, id string, show func() error) error {
	switch {
	case p.o.Quiet:
		_, err := fmt.Fprintln(p.safe, id)
		return err
	case p.o.Format == JSON:
		var text bytes.Buffer
		if err := json.Indent(&text, raw, "", "  "); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		text.WriteByte('\n')
		_, err := p.safe.Write(text.Bytes())
		return err
	case p.o.Format == JSONL:
		return p.List(nil).Add([]json.RawMessage{raw})
	case p.o.Format == YAML:
		return p.yaml(raw, false)
	case p.o.Format == CSV:
		return p.csvOne(raw)
	}
	return show()
}

// csvOne writes the top fields of an item.
func (p *Printer) csvOne(raw json.RawMessage) error {
	node, err := orderedNode(raw)
	if err != nil {
		return err
	}
	item, err := Parse(raw)
	if err != nil {
		return err
	}
	var names, values []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		names = append(names, node.Content[i].Value)
		values = append(values, inert(TextAt(map[string]any{"v": item[node.Content[i].Value]}, "v")))
	}
	w := csv.NewWriter(p.safe)
	_ = w.WriteAll([][]string{names, values}) // Error reports it
	return w.Error()
}

// Fields writes names and values in two columns.
func (p *Printer) Fields(fields []Field) error {
	widest := 0
	for _, f := range fields {
		widest = max(widest, cells(f.Name))
	}
	for _, f := range fields {
		text := ""
		if f.Kind == Time {
			text = p.Exact(f.Text)
		} else {
			text = p.Shown(f.Kind, f.Text)
		}
		text = p.paint(f.Kind, text, text)
		if _, err := io.WriteString(p.raw, f.Name+strings.Repeat(" ", widest-cells(f.Name)+gap)+text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Title writes a heading with an empty line before it.
func (p *Printer) Title(text string) error {
	text = Clean(text)
	if p.o.Colour {
		text = bold + text + plain
	}
	_, err := io.WriteString(p.raw, "\n"+text+"\n")
	return err
}

// Block writes a text of several lines, indented and without control characters.
func (p *Printer) Block(text string) error {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if _, err := io.WriteString(p.raw, "  "+Clean(line)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// yaml writes JSON as YAML, its fields in the same order.
func (p *Printer) yaml(raw json.RawMessage, inList bool) error {
	node, err := orderedNode(raw)
	if err != nil {
		return err
	}
	if inList {
		node = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{node}}
	}
	return p.WriteYAML(node)
}

// WriteYAML writes any value as YAML.
func (p *Printer) WriteYAML(value any) error {
	encoder := yaml.NewEncoder(p.safe)
	encoder.SetIndent(2)
	return errors.Join(encoder.Encode(value), encoder.Close())
}

// orderedNode reads JSON and keeps the order of fields.
func orderedNode(raw json.RawMessage) (*yaml.Node, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	node, err := nextNode(decoder)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return node, nil
}

func nextNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if v == '{' {
			node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		for decoder.More() { // the names of an object are tokens like its values
			child, err := nextNode(decoder)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		_, err := decoder.Token()
		return node, err
	case string:
		node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
		if strings.ContainsFunc(v, invisible) {
			node.Style = yaml.DoubleQuotedStyle // there the escapes mean the same
		}
		return node, nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// Line writes cells on one line, each padded to its width; empty ones without a width are left
// out.
func (p *Printer) Line(all []Field, widths []int) error {
	var line strings.Builder
	for i, f := range all {
		if f.Text == "" && widths[i] == 0 {
			continue
		}
		text := p.Shown(f.Kind, f.Text)
		line.WriteString(p.paint(f.Kind, text, text) + strings.Repeat(" ", max(0, widths[i]-cells(text))+gap))
	}
	_, err := io.WriteString(p.raw, strings.TrimRight(line.String(), " ")+"\n")
	return err
}
