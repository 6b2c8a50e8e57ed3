package ingestion

import (
	"bytes"
	"encoding/json"
	"slices"
)

// stableJSON returns the same bytes for bodies that differ only in the order of members and
// in insignificant space. Numbers and strings stay as written: RFC 8785 would make
// 12345678901234567890 and …891 equal, and an event would be lost. Members of the same name
// keep their order, since the last one counts. A body that is not JSON is returned unchanged.
//
// Time and memory are linear in the body's length, whatever its depth.
func stableJSON(body []byte) []byte {
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return body
	}
	s := stable{in: compact.Bytes()}
	s.findEnds()
	s.out = make([]byte, 0, len(s.in))
	s.value(0, len(s.in))
	return s.out
}

// stable rewrites compact, valid JSON.
type stable struct {
	in   []byte
	ends []int32 // for each opening bracket, by position: where it closes
	out  []byte
}

type stableMember struct{ start, colon, end int }

func (s *stable) findEnds() {
	s.ends = make([]int32, len(s.in))
	var open []int
	for i := 0; i < len(s.in); i++ {
		switch s.in[i] {
		case '"':
			i = s.endOfString(i)
		case '{', '[':
			open = append(open, i)
		case '}', ']':
			s.ends[open[len(open)-1]] = int32(i) //nolint:gosec // bodies are bounded far below 2 GiB
			open = open[:len(open)-1]
		}
	}
}

func (s *stable) endOfString(i int) int {
	for i++; s.in[i] != '"'; i++ {
		if s.in[i] == '\\' {
			i++
		}
	}
	return i
}

// skip returns the position after the value that starts at i.
func (s *stable) skip(i int) int {
	switch s.in[i] {
	case '{', '[':
		return int(s.ends[i]) + 1
	case '"':
		return s.endOfString(i) + 1
	}
	for i < len(s.in) && s.in[i] != ',' && s.in[i] != '}' && s.in[i] != ']' {
		i++
	}
	return i
}

func (s *stable) value(start, end int) {
	switch s.in[start] {
	case '{':
		s.object(start)
	case '[':
		s.array(start)
	default:
		s.out = append(s.out, s.in[start:end]...)
	}
}

// array and object recurse; json.Compact has refused nesting deeper than 10,000.
func (s *stable) array(start int) {
	s.out = append(s.out, '[')
	for i := start + 1; i < int(s.ends[start]); i++ {
		end := s.skip(i)
		if i > start+1 {
			s.out = append(s.out, ',')
		}
		s.value(i, end)
		i = end
	}
	s.out = append(s.out, ']')
}

func (s *stable) object(start int) {
	var members []stableMember
	for i := start + 1; i < int(s.ends[start]); i++ {
		colon := s.endOfString(i) + 1
		end := s.skip(colon + 1)
		members = append(members, stableMember{i, colon, end})
		i = end
	}
	slices.SortStableFunc(members, func(a, b stableMember) int {
		return bytes.Compare(s.in[a.start:a.colon], s.in[b.start:b.colon])
	})
	s.out = append(s.out, '{')
	for n, m := range members {
		if n > 0 {
			s.out = append(s.out, ',')
		}
		s.out = append(s.out, s.in[m.start:m.colon+1]...)
		s.value(m.colon+1, m.end)
	}
	s.out = append(s.out, '}')
}
