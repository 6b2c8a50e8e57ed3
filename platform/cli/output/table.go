package output

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const (
	gap      = 2  // between two columns
	narrowed = 16 // the least that a column is shortened to
)

func (l *List) table(items []json.RawMessage) error {
	rows := make([][]string, len(items))
	for i, raw := range items {
		item, err := Parse(raw)
		if err != nil {
			return err
		}
		rows[i] = make([]string, len(l.columns))
		for n, c := range l.columns {
			rows[i][n] = l.p.cell(c, item)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if l.widths == nil {
		l.fit(rows)
		titles := make([]string, len(l.widths))
		for n := range titles {
			titles[n] = l.title(n)
		}
		if err := l.row(titles, true); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if err := l.row(row, false); err != nil {
			return err
		}
	}
	return nil
}

// fit decides how wide the columns are. Where they exceed the terminal, the widest texts are
// shortened; where that is not enough, the last columns are left out.
func (l *List) fit(rows [][]string) {
	l.widths = make([]int, len(l.columns))
	for n := range l.columns {
		l.widths[n] = cells(l.title(n))
		for _, row := range rows {
			l.widths[n] = max(l.widths[n], cells(row[n]))
		}
	}
	if l.p.o.Width <= 0 || l.p.o.Format == Wide {
		return
	}
	for len(l.widths) > 1 && l.least() > l.p.o.Width {
		l.widths = l.widths[:len(l.widths)-1]
	}
	for total(l.widths) > l.p.o.Width {
		widest := -1
		for n, w := range l.widths {
			if w > l.floor(n) && (widest < 0 || w > l.widths[widest]) {
				widest = n
			}
		}
		if widest < 0 {
			return
		}
		l.widths[widest]--
	}
}

func (l *List) title(n int) string {
	if l.columns[n].Kind == Age && !l.p.o.UTC {
		return "AGE"
	}
	return l.columns[n].Title
}

// floor is the least width of a column.
func (l *List) floor(n int) int {
	c := l.columns[n]
	if c.Kind == Text || c.Kind == URL || c.Kind == Body {
		return min(l.widths[n], max(narrowed, cells(c.Title)))
	}
	return l.widths[n]
}

// fitted shortens a cell. What is of no use in part is never shortened, nor anything where
// there is no limit: the next part of a list may have longer texts than the first.
func (l *List) fitted(n int, text string) string {
	kind := l.columns[n].Kind
	switch {
	case l.p.o.Width <= 0 || l.p.o.Format == Wide || kind != Text && kind != URL && kind != Body:
		return text
	case kind == URL:
		return shortenMiddle(text, l.widths[n])
	}
	return shorten(text, l.widths[n])
}

func (l *List) least() int {
	all := make([]int, len(l.widths))
	for n := range all {
		all[n] = l.floor(n)
	}
	return total(all)
}

func total(widths []int) int {
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

func (l *List) row(texts []string, title bool) error {
	var line strings.Builder
	for n, w := range l.widths {
		kind := l.columns[n].Kind
		text := l.fitted(n, texts[n])
		padding := strings.Repeat(" ", max(0, w-cells(text)))
		switch {
		case kind == Number || kind == Millis:
			text = padding + text
		case title:
			text += padding
		default:
			text = l.p.paint(kind, text, text+padding)
		}
		if n < len(l.widths)-1 {
			text += strings.Repeat(" ", gap)
		}
		line.WriteString(text)
	}
	text := strings.TrimRight(line.String(), " ")
	if title && l.p.o.Colour {
		text = bold + text + plain
	}
	_, err := l.p.raw.Write([]byte(text + "\n")) // every cell was cleaned
	return err
}

// shorten cuts text to so many cells.
func shorten(text string, most int) string {
	if cells(text) <= most {
		return text
	}
	used, end := 0, 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if used+cellsOf(r) > most-1 {
			break
		}
		used, end = used+cellsOf(r), end+size
	}
	return text[:end] + "…"
}

// shortenMiddle cuts text to so many cells and keeps its end, where addresses differ.
func shortenMiddle(text string, most int) string {
	runes := []rune(text)
	if cells(text) <= most {
		return text
	}
	for tail := len(runes) - 1; tail > 0; tail-- {
		if cells(string(runes[tail:])) >= (most-1)*2/3 {
			head := shorten(text, most-cells(string(runes[tail:])))
			if cells(head)+cells(string(runes[tail:])) <= most {
				return head + string(runes[tail:])
			}
			break
		}
	}
	return shorten(text, most)
}

// cells is how many columns of a terminal a text takes.
func cells(text string) int {
	n := 0
	for _, r := range text {
		n += cellsOf(r)
	}
	return n
}

func cellsOf(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}
