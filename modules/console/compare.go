package console

import (
	"strconv"
	"strings"
)

// comparison shows two bodies of an event line by line.
type comparison struct {
	A, B    string
	Choices []choice
	Lines   []diffLine
	Same    bool
	TooLong bool
}

type choice struct{ Name, Label string }

type diffLine struct {
	Sign string // "+", "-" or " "
	Text string
}

// maxDiffLines bounds each side of a comparison, whose cost is the product of both.
const maxDiffLines = 2000

// compare shows how two of an event's bodies differ; by default the received from the canonical.
func (p *eventPage) compare(a, b string) *comparison {
	c := &comparison{A: a, B: b, Choices: []choice{{"received", "received"}, {"canonical", "canonical"}}}
	for _, at := range p.Attempts {
		if at.Answer != nil {
			c.Choices = append(c.Choices, choice{"answer." + at.ID, "answer to attempt " + strconv.FormatInt(at.No, 10) + ", " + p.Directory.place(at.Destination).Name})
		}
	}
	if c.A == "" {
		c.A = "received"
	}
	if c.B == "" {
		c.B = "canonical"
	}
	left, right := p.linesOf(c.A), p.linesOf(c.B)
	if c.TooLong = len(left) > maxDiffLines || len(right) > maxDiffLines; c.TooLong {
		return c
	}
	c.Lines = diff(left, right)
	c.Same = len(left) == len(right)
	for _, line := range c.Lines {
		c.Same = c.Same && line.Sign == " "
	}
	return c
}

func (p *eventPage) linesOf(of string) []string {
	raw, _, found := p.bytesOf(of)
	if !found {
		return nil
	}
	text, _, _ := readable(raw)
	return strings.Split(text, "\n")
}

// diff finds the longest common subsequence of lines, after what both begin and end with.
func diff(a, b []string) []diffLine {
	var lines []diffLine
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		lines = append(lines, diffLine{" ", a[head]})
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	left, right := a[head:len(a)-tail], b[head:len(b)-tail]
	longest := make([][]int, len(left)+1)
	for i := range longest {
		longest[i] = make([]int, len(right)+1)
	}
	for i := len(left) - 1; i >= 0; i-- {
		for j := len(right) - 1; j >= 0; j-- {
			if left[i] == right[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(left) || j < len(right) {
		switch {
		case i < len(left) && j < len(right) && left[i] == right[j]:
			lines = append(lines, diffLine{" ", left[i]})
			i, j = i+1, j+1
		case j == len(right) || i < len(left) && longest[i+1][j] >= longest[i][j+1]:
			lines = append(lines, diffLine{"-", left[i]})
			i++
		default:
			lines = append(lines, diffLine{"+", right[j]})
			j++
		}
	}
	for _, line := range a[len(a)-tail:] {
		lines = append(lines, diffLine{" ", line})
	}
	return lines
}
