package broker

// bySeq and byTime are the heaps of a memoryQueue (container/heap).
type (
	bySeq  []memoryMessage
	byTime []memoryMessage
)

func (h bySeq) Len() int           { return len(h) }
func (h bySeq) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h bySeq) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *bySeq) Push(x any) { *h = append(*h, x.(memoryMessage)) } //nolint:forcetypeassert // our own

// Pop implements heap.Interface.
func (h *bySeq) Pop() any { return popLast((*[]memoryMessage)(h)) }

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *byTime) Push(x any) { *h = append(*h, x.(memoryMessage)) } //nolint:forcetypeassert // our own

// Pop implements heap.Interface.
func (h *byTime) Pop() any { return popLast((*[]memoryMessage)(h)) }

// popLast also releases the body.
func popLast(s *[]memoryMessage) memoryMessage {
	last := len(*s) - 1
	msg := (*s)[last]
	(*s)[last] = memoryMessage{}
	*s = (*s)[:last]
	return msg
}
