package broker

import (
	"bytes"
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

// Wake calls f once after d, on another goroutine, unless stop is called first. It is
// time.AfterFunc, or a test's replacement.
type Wake func(d time.Duration, f func()) (stop func() bool)

// Memory is the Broker within one process. Its messages are lost with the process, but the
// database still has the jobs.
type Memory struct {
	now  clock.Now
	wake Wake

	mu     sync.Mutex
	closed bool
	queues map[Queue]*memoryQueue
	done   chan struct{} // closed by Close
	lost   chan Queue
}

var _ Broker = (*Memory)(nil)

// NewMemory makes an empty broker. It runs no goroutine, and no timer except one for each
// queue that has a consumer and only delayed messages. A nil wake is time.AfterFunc.
func NewMemory(now clock.Now, wake Wake) *Memory {
	if wake == nil {
		wake = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	return &Memory{
		now:    now,
		wake:   wake,
		queues: map[Queue]*memoryQueue{Process: {}, Replay: {}, Dead: {}, Spool: {}, SpoolParked: {}},
		done:   make(chan struct{}),
		lost:   make(chan Queue),
	}
}

// memoryQueue keeps ready and delayed messages apart. Memory.mu guards it.
type memoryQueue struct {
	ready     bySeq
	delayed   byTime
	consumers []*memoryConsumer
	lastSeq   uint64      // the last sequence number assigned
	disarm    func() bool // stops the timer; nil when none runs
	armedFor  time.Time
}

type memoryMessage struct {
	body        []byte
	trace       string
	publishedAt time.Time
	due         time.Time
	seq         uint64 // its position in the queue; a delayed message gets one when it is due
}

type memoryConsumer struct {
	credit int           // remaining unsettled deliveries allowed
	signal chan struct{} // holds a token if there may be something to take
}

func (c *memoryConsumer) notify() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// Publish fails for an invalid message, and after Close.
func (m *Memory) Publish(_ context.Context, messages []Message) []error {
	errs := make([]error, len(messages))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	touched := map[*memoryQueue]bool{}
	for i, msg := range messages {
		if errs[i] = checkMessage(msg); errs[i] != nil {
			continue
		}
		if m.closed {
			errs[i] = shuttingDown()
			continue
		}
		q := m.queues[msg.Queue]
		q.add(memoryMessage{body: bytes.Clone(msg.Body), trace: msg.Trace, publishedAt: now, due: now.Add(msg.Delay)}, msg.Delay > 0)
		touched[q] = true
	}
	for q := range touched {
		m.dispatch(q)
	}
	return errs
}

func (q *memoryQueue) add(msg memoryMessage, delayed bool) {
	if delayed {
		heap.Push(&q.delayed, msg)
		return
	}
	q.lastSeq++
	msg.seq = q.lastSeq
	heap.Push(&q.ready, msg)
}

// dispatch moves due messages to the ready ones, wakes the consumers if there is something
// to take, and sets the timer. It requires m.mu.
func (m *Memory) dispatch(q *memoryQueue) {
	now := m.now()
	for len(q.delayed) > 0 && !q.delayed[0].due.After(now) {
		msg, _ := heap.Pop(&q.delayed).(memoryMessage)
		q.add(msg, false)
	}
	if len(q.ready) > 0 {
		for _, c := range q.consumers {
			c.notify()
		}
	}
	m.arm(q, now)
}

// arm runs one timer, for the first delayed message, while there is a consumer.
func (m *Memory) arm(q *memoryQueue, now time.Time) {
	idle := len(q.delayed) == 0 || len(q.consumers) == 0 || m.closed
	if q.disarm != nil {
		if !idle && q.delayed[0].due.Equal(q.armedFor) {
			return
		}
		q.disarm()
		q.disarm = nil
	}
	if idle {
		return
	}
	due := q.delayed[0].due
	q.armedFor = due
	q.disarm = m.wake(due.Sub(now), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if q.armedFor.Equal(due) {
			q.disarm = nil
		}
		m.dispatch(q)
	})
}

// Consume passes on one delivery after the other until ctx or the broker ends.
func (m *Memory) Consume(ctx context.Context, queue Queue, prefetch int, handle func(Delivery)) error {
	if err := checkConsumer(queue, prefetch); err != nil {
		return err
	}
	c := &memoryConsumer{credit: prefetch, signal: make(chan struct{}, 1)}
	q := m.addConsumer(queue, c)
	defer m.removeConsumer(q, c)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.done:
			return nil
		case <-c.signal:
		}
		for ctx.Err() == nil {
			msg, ok := m.take(q, c)
			if !ok {
				break
			}
			handle(m.delivery(q, c, msg))
		}
	}
}

func (m *Memory) addConsumer(queue Queue, c *memoryConsumer) *memoryQueue {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[queue]
	q.consumers = append(q.consumers, c)
	m.dispatch(q)
	return q
}

func (m *Memory) removeConsumer(q *memoryQueue, c *memoryConsumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range q.consumers {
		if other == c {
			q.consumers = append(q.consumers[:i:i], q.consumers[i+1:]...)
			break
		}
	}
	m.dispatch(q)
}

func (m *Memory) take(q *memoryQueue, c *memoryConsumer) (memoryMessage, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || c.credit == 0 || len(q.ready) == 0 {
		return memoryMessage{}, false
	}
	c.credit--
	msg, _ := heap.Pop(&q.ready).(memoryMessage)
	return msg, true
}

func (m *Memory) delivery(q *memoryQueue, c *memoryConsumer, msg memoryMessage) Delivery {
	var settled atomic.Bool
	once := func(then func()) func() {
		return func() {
			if !settled.CompareAndSwap(false, true) {
				return
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			c.credit++
			then()
			c.notify()
		}
	}
	return Delivery{
		Body:        msg.body,
		PublishedAt: msg.publishedAt,
		Trace:       msg.trace,
		Ack:         once(func() {}),
		Requeue: once(func() {
			heap.Push(&q.ready, msg) // at its old position
			m.dispatch(q)
		}),
		Reject: once(func() {
			dead := m.queues[Dead]
			if q == dead {
				return // like RabbitMQ: the dead queue has no dead queue
			}
			dead.add(msg, false)
			m.dispatch(dead)
		}),
	}
}

// Ping returns nil until Close.
func (m *Memory) Ping(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return shuttingDown()
	}
	return nil
}

// Depth counts ready messages, without delayed and unsettled ones.
func (m *Memory) Depth(_ context.Context, queue Queue) (int, error) {
	if err := checkConsumer(queue, 1); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[queue]
	m.dispatch(q)
	return len(q.ready), nil
}

// Lost never receives: a queue is only lost with its process.
func (m *Memory) Lost() <-chan Queue { return m.lost }

// Close ends Publish and Consume. Depth still counts undelivered messages.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	close(m.done)
	for _, q := range m.queues {
		m.arm(q, m.now())
	}
	return nil
}
