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

// Wake calls f once after d, on another goroutine, unless stop comes first. It is
// time.AfterFunc, or a test's own.
type Wake func(d time.Duration, f func()) (stop func() bool)

// Memory is the Broker within one process. What it holds is gone with the process;
// the database has it still.
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

// NewMemory makes an empty broker. It runs no goroutine and no timer but one for
// each queue that holds nothing but delayed messages and has a consumer. A nil
// wake is time.AfterFunc.
func NewMemory(now clock.Now, wake Wake) *Memory {
	if wake == nil {
		wake = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	return &Memory{
		now:    now,
		wake:   wake,
		queues: map[Queue]*memoryQueue{Process: {}, Replay: {}, Dead: {}},
		done:   make(chan struct{}),
		lost:   make(chan Queue),
	}
}

// memoryQueue keeps what may be delivered apart from what must wait. Memory.mu
// guards it.
type memoryQueue struct {
	ready     byPlace
	delayed   byTime
	consumers []*memoryConsumer
	places    uint64      // given out so far
	disarm    func() bool // stops the timer; nil when none runs
	armedFor  time.Time
}

type memoryMessage struct {
	body        []byte
	publishedAt time.Time
	due         time.Time
	place       uint64 // in the queue: its order of arrival, which a delayed message gets when its time has come
	redelivered bool
}

type memoryConsumer struct {
	room   int           // how many more deliveries may be unsettled
	signal chan struct{} // holds one token when there may be something to take
}

func (c *memoryConsumer) nudge() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// Publish fails for a message that breaks the contract, and after Close.
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
		q.add(memoryMessage{body: bytes.Clone(msg.Body), publishedAt: now, due: now.Add(msg.Delay)}, msg.Delay > 0)
		touched[q] = true
	}
	for q := range touched {
		m.stir(q)
	}
	return errs
}

func (q *memoryQueue) add(msg memoryMessage, delayed bool) {
	if delayed {
		heap.Push(&q.delayed, msg)
		return
	}
	q.places++
	msg.place = q.places
	heap.Push(&q.ready, msg)
}

// stir lets in what is due, wakes the consumers when there is something to take,
// and sees to the timer. It needs m.mu.
func (m *Memory) stir(q *memoryQueue) {
	now := m.now()
	for len(q.delayed) > 0 && !q.delayed[0].due.After(now) {
		msg, _ := heap.Pop(&q.delayed).(memoryMessage)
		q.add(msg, false)
	}
	if len(q.ready) > 0 {
		for _, c := range q.consumers {
			c.nudge()
		}
	}
	m.arm(q, now)
}

// arm keeps one timer, for the first delayed message, while somebody consumes.
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
		m.stir(q)
	})
}

// Consume hands over one delivery after the other until ctx or the broker ends.
func (m *Memory) Consume(ctx context.Context, queue Queue, prefetch int, handle func(Delivery)) error {
	if err := checkConsumer(queue, prefetch); err != nil {
		return err
	}
	c := &memoryConsumer{room: prefetch, signal: make(chan struct{}, 1)}
	q := m.join(queue, c)
	defer m.leave(q, c)
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

func (m *Memory) join(queue Queue, c *memoryConsumer) *memoryQueue {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[queue]
	q.consumers = append(q.consumers, c)
	m.stir(q)
	return q
}

func (m *Memory) leave(q *memoryQueue, c *memoryConsumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range q.consumers {
		if other == c {
			q.consumers = append(q.consumers[:i:i], q.consumers[i+1:]...)
			break
		}
	}
	m.stir(q)
}

func (m *Memory) take(q *memoryQueue, c *memoryConsumer) (memoryMessage, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || c.room == 0 || len(q.ready) == 0 {
		return memoryMessage{}, false
	}
	c.room--
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
			c.room++
			then()
			c.nudge()
		}
	}
	return Delivery{
		Body:        msg.body,
		PublishedAt: msg.publishedAt,
		Redelivered: msg.redelivered,
		Ack:         once(func() {}),
		Requeue: once(func() {
			msg.redelivered = true
			heap.Push(&q.ready, msg) // at its old place
			m.stir(q)
		}),
		Reject: once(func() {
			msg.redelivered = false
			dead := m.queues[Dead]
			if q == dead {
				return // as RabbitMQ does: the dead queue has no dead queue
			}
			dead.add(msg, false)
			m.stir(dead)
		}),
	}
}

// Ping answers nil until Close.
func (m *Memory) Ping(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return shuttingDown()
	}
	return nil
}

// Depth counts what may be delivered now; what is delayed or held by a consumer is
// not counted.
func (m *Memory) Depth(_ context.Context, queue Queue) (int, error) {
	if err := checkConsumer(queue, 1); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queues[queue]
	m.stir(q)
	return len(q.ready), nil
}

// Lost never receives: no queue is lost without its process.
func (m *Memory) Lost() <-chan Queue { return m.lost }

// Close ends Publish and Consume. What was not delivered stays counted by Depth.
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
