package broker

// byPlace and byTime are the heaps of a memoryQueue (container/heap).
type (
	byPlace []memoryMessage
	byTime  []memoryMessage
)

func (h byPlace) Len() int           { return len(h) }
func (h byPlace) Less(i, j int) bool { return h[i].place < h[j].place }
func (h byPlace) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *byPlace) Push(x any) { *h = append(*h, x.(memoryMessage)) } //nolint:forcetypeassert // our own

// Pop is heap.Interface's.
func (h *byPlace) Pop() any { return popLast((*[]memoryMessage)(h)) }

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *byTime) Push(x any) { *h = append(*h, x.(memoryMessage)) } //nolint:forcetypeassert // our own

// Pop is heap.Interface's.
func (h *byTime) Pop() any { return popLast((*[]memoryMessage)(h)) }

// popLast lets go of the body as well.
func popLast(s *[]memoryMessage) memoryMessage {
	last := len(*s) - 1
	msg := (*s)[last]
	(*s)[last] = memoryMessage{}
	*s = (*s)[:last]
	return msg
}
