package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// figuresFile keeps the figures that documents are written from, by path from the root.
const figuresFile = "docs/performance.json"

// figures are the results that documents compare and reckon with: medians of the turns.
type figures struct {
	Machine  string             `json:"machine"`
	Servers  storage            `json:"servers"`
	Embedded storage            `json:"embedded"`
	Peers    map[string]storage `json:"peers"`
	Rates    rates              `json:"rates"`
	// CPU is processor milliseconds an event at full speed, by setup and program.
	CPU map[string]map[string]float64 `json:"cpu"`
}

// rates are ratios to the bare server, and what else a bar asks for.
type rates struct {
	Accepted          float64 `json:"accepted"` // servers, no worker
	Delivered         float64 `json:"delivered"`
	EmbeddedAccepted  float64 `json:"embeddedAccepted"`
	EmbeddedDelivered float64 `json:"embeddedDelivered"`
	DevMegabytes      float64 `json:"devMegabytes"`
	AcceptanceP99     float64 `json:"acceptanceP99"` // at a quarter of the maximum: ratio to the bare server's
	ArrivalP99        float64 `json:"arrivalP99"`    // at a quarter of the maximum: milliseconds
}

func readFigures(root string) (f figures, err error) {
	text, err := os.ReadFile(filepath.Join(root, figuresFile)) //nolint:gosec // our own
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read %s: %w", figuresFile, err)
	}
	return f, nil
}

// save writes the figures, and the documents' tables that are made of them.
func (f figures) save(root string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", figuresFile, err)
	}
	if err := os.WriteFile(filepath.Join(root, figuresFile), append(text, '\n'), 0o644); err != nil { //nolint:gosec // a document
		return err
	}
	for _, s := range f.sections() {
		if err := s.write(root, s.text); err != nil {
			return err
		}
	}
	return nil
}

// add takes the figures of a full run's results.
func (f *figures) add(results []result) {
	if len(results) > 0 {
		f.CPU, f.Rates = map[string]map[string]float64{}, rates{}
	}
	for _, r := range results {
		accepted, delivered := median(r.ratios(acceptRate, acceptRate)), median(r.ratios(deliverRate, acceptRate))
		switch {
		case r.mode == accept:
			f.Rates.Accepted = accepted
		case r.setup == onServers && r.loop == closed:
			f.Rates.Delivered = delivered
			f.CPU[onServers] = r.cpu()
		case r.setup == onServers:
			f.Rates.AcceptanceP99 = r.p99Ratio()
			f.Rates.ArrivalP99 = float64(r.duration50(func(m measured) time.Duration { return m.delivery.p99 })) / float64(time.Millisecond)
		case r.loop == closed:
			f.Rates.EmbeddedAccepted, f.Rates.EmbeddedDelivered = accepted, delivered
			f.Rates.DevMegabytes = r.peak("dev")
			f.CPU[embedded] = r.cpu()
		}
	}
}

// p99Ratio compares the acceptance with the bare server's.
func (r result) p99Ratio() float64 {
	p99 := func(m measured) float64 { return float64(m.acceptance.p99) }
	bare := median(r.ceilingEach(p99))
	if bare == 0 {
		return 0
	}
	return median(r.each(p99)) / bare
}

// cpu returns the processor milliseconds an event of each program but the generator.
func (r result) cpu() map[string]float64 {
	all := map[string]float64{}
	for i, c := range r.turns[0].costs {
		if c.name != generator {
			all[c.name] = median(r.each(func(m measured) float64 { return m.costs[i].cpu }))
		}
	}
	return all
}

// peak returns the most megabytes that a program had in any turn.
func (r result) peak(program string) (most float64) {
	for _, m := range r.turns {
		for _, c := range m.costs {
			if c.name == program {
				most = max(most, float64(c.memory)/(1<<20))
			}
		}
	}
	return most
}

// section is the part of a document between two lines.
type section struct{ document, begin, end, text string }

// The marks of the tables that are made of the figures. TestTheTablesOfFigures holds the
// documents to the file.
const (
	figuresBegin = "<!-- written from performance.json: go test ./test/bench -run TestTheTablesOfFigures -update -->"
	figuresEnd   = "<!-- end of what was written from performance.json -->"
)

func (f figures) sections() []section {
	return []section{
		{"docs/performance.md", figuresBegin, figuresEnd, f.comparison()},
		{"docs/deployment.md", figuresBegin, figuresEnd, f.costs()},
	}
}

// write replaces the section's text in the document.
func (s section) write(root, text string) error {
	path := filepath.Join(root, s.document)
	old, err := os.ReadFile(path) //nolint:gosec // our own
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	before, rest, found := strings.Cut(string(old), s.begin)
	_, after, ended := strings.Cut(rest, s.end)
	if !found || !ended {
		return fmt.Errorf("%s does not contain the lines %q and %q", path, s.begin, s.end)
	}
	return os.WriteFile(path, []byte(before+s.begin+"\n\n"+text+"\n"+s.end+after), 0o644) //nolint:gosec // a document
}

// comparison is the part of docs/performance.md that the figures make.
func (f figures) comparison() string {
	var b strings.Builder
	b.WriteString(f.Machine + "\n")
	b.WriteString(f.barTable())
	for _, s := range []struct {
		name string
		storage
	}{{"PostgreSQL", f.Servers}, {"SQLite", f.Embedded}} {
		fmt.Fprintf(&b, "\nBytes an event in %s, %d events: %.0f, and %.0f of WAL.\n\n%s", s.name, s.Events, s.Database, s.WAL, s.storage)
	}
	return b.String()
}
