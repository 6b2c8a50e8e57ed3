package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// The result of a full run is between these lines of docs/performance.md.
const (
	beginMark = "<!-- written by scripts/bench --write -->"
	endMark   = "<!-- end of what scripts/bench wrote -->"
)

// write replaces the previous run's text in the document.
func write(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the document: %w", err)
	}
	before, rest, found := strings.Cut(string(old), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if len(old) > 0 && (!found || !ended) {
		return fmt.Errorf("%s does not contain the lines %q and %q", path, beginMark, endMark)
	}
	document := before + beginMark + "\n\n" + text + "\n" + endMark + after
	if !strings.HasSuffix(document, "\n") {
		document += "\n"
	}
	return os.WriteFile(path, []byte(document), 0o644) //nolint:gosec // a document
}

// tables formats results in Markdown: medians of the turns.
func tables(results []result) string {
	var b strings.Builder
	b.WriteString("Rates, medians of the turns; the ratio is to the ceiling of the neighbouring turns.\n\n" +
		"| what | ceiling/s | accepted/s | ratio | delivered/s | ratio | turns (ratios) | missing | delivered again |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |\n")
	for _, r := range results {
		b.WriteString(r.rates())
	}
	b.WriteString("\nLatencies in ms, medians of the turns: of acceptance, and from sending to arrival.\n" +
		"In an open loop they count from the scheduled time of sending.\n\n" +
		"| what | | p50 | p90 | p99 | max |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for _, r := range results {
		b.WriteString(r.latencies())
	}
	b.WriteString("\nProcessor seconds per 1,000 accepted webhooks, and the peak memory of a process.\n\n" +
		"| what | program | CPU s | MB |\n| --- | --- | ---: | ---: |\n")
	for _, r := range results {
		b.WriteString(r.costs())
	}
	return b.String()
}

func (r result) rates() string {
	ratios := r.ratios(acceptRate, acceptRate)
	delivered, deliveredRatio := "–", "–"
	again := 0
	for _, m := range r.turns {
		again += m.twice
	}
	shown := ratios
	if r.mode == deliver {
		shown = r.ratios(deliverRate, acceptRate)
		delivered, deliveredRatio = fmt.Sprintf("%.0f", median(r.each(deliverRate))), fmt.Sprintf("%.3f", median(shown))
	}
	var turns []string
	for _, ratio := range shown {
		turns = append(turns, fmt.Sprintf("%.3f", ratio))
	}
	what := r.name()
	if r.mode == accept {
		what += fmt.Sprintf("; all published %s ms after the end", millis(r.duration50(func(m measured) time.Duration { return m.published })))
	}
	return fmt.Sprintf("| %s | %.0f | %.0f | %.3f | %s | %s | %s | %d | %d |\n", what, median(r.ceilingEach(acceptRate)),
		median(r.each(acceptRate)), median(ratios), delivered, deliveredRatio, strings.Join(turns, ", "), r.missing(), again)
}

func (r result) ceilingEach(of func(measured) float64) []float64 {
	return result{turns: r.ceilings}.each(of)
}

// duration50 returns the median of a duration over the turns.
func (r result) duration50(of func(measured) time.Duration) time.Duration {
	return time.Duration(median(r.each(func(m measured) float64 { return float64(of(m)) })))
}

func (r result) latencies() string {
	acceptance := func(m measured) percentiles { return m.acceptance }
	text := result{workload: r.workload, turns: r.ceilings}.latency("ceiling", acceptance) + r.latency("accepted", acceptance)
	if r.mode == deliver {
		text += r.latency("delivered", func(m measured) percentiles { return m.delivery })
	}
	return text
}

func (r result) latency(of string, pick func(measured) percentiles) string {
	text := fmt.Sprintf("| %s | %s |", r.name(), of)
	for _, part := range []func(percentiles) time.Duration{
		func(s percentiles) time.Duration { return s.p50 }, func(s percentiles) time.Duration { return s.p90 },
		func(s percentiles) time.Duration { return s.p99 }, func(s percentiles) time.Duration { return s.max },
	} {
		text += fmt.Sprintf(" %s |", millis(r.duration50(func(m measured) time.Duration { return part(pick(m)) })))
	}
	return text + "\n"
}

func (r result) costs() string {
	text := ""
	for _, turns := range [][]measured{r.ceilings, r.turns} {
		for i, c := range turns[0].costs {
			each := result{turns: turns}
			peak := slices.Max(each.each(func(m measured) float64 { return float64(m.costs[i].memory) }))
			memory := "–"
			if peak > 0 {
				memory = fmt.Sprintf("%.0f", peak/(1<<20))
			}
			text += fmt.Sprintf("| %s | %s | %.3f | %s |\n", r.name(), c.name,
				median(each.each(func(m measured) float64 { return m.costs[i].cpu })), memory)
		}
	}
	return text
}

func millis(d time.Duration) string {
	ms := float64(d.Microseconds()) / 1000
	if ms < 10 {
		return fmt.Sprintf("%.2f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}
