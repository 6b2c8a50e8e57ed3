package broker

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Inspection describes the server and the queues that the gateway uses there.
type Inspection struct {
	Product, Version string // as the server calls itself
	Type             string // of the queues that are expected
	Queues           []InspectedQueue
}

// InspectedQueue is one of the queues.
type InspectedQueue struct {
	Name             string
	Role             Queue
	Ready, Consumers int
	Missing          bool
	Mismatch         bool // it exists with other arguments, such as another type
}

// ErrRefused is in the chain of Inspect's errors if the server answers and does not let the
// user in, or not into the virtual host.
var ErrRefused = errors.New("the server refuses the user or the virtual host")

// Inspect connects for itself, and declares no queue that does not exist.
func (b *RabbitMQ) Inspect(ctx context.Context) (Inspection, error) {
	var conn *amqp.Connection
	err := (&nodes{urls: b.nodes}).first(func(url string) (err error) {
		conn, err = dial(ctx, b.cfg, url, "inspection")
		return err
	})
	switch code := replyCode(err); {
	case code == amqp.AccessRefused || code == amqp.NotAllowed || errors.Is(err, amqp.ErrCredentials):
		return Inspection{}, fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		return Inspection{}, err
	}
	defer closeConn(conn)
	found := Inspection{Type: b.cfg.QueueType}
	found.Product, _ = conn.Properties["product"].(string)
	found.Version, _ = conn.Properties["version"].(string)
	found.Queues, err = within(ctx, func() ([]InspectedQueue, error) { return b.inspectQueues(conn) }, nil)
	return found, err
}

func (b *RabbitMQ) inspectQueues(conn *amqp.Connection) ([]InspectedQueue, error) {
	s := inspector{conn: conn}
	defer s.close()
	var all []InspectedQueue
	for _, q := range b.cfg.topology() {
		one := InspectedQueue{Name: q.name, Role: q.role}
		var err error
		if one.Ready, one.Missing, err = s.inspect(q.name); err != nil {
			return nil, fmt.Errorf("inspect queue %s: %w", q.name, err)
		}
		if !one.Missing {
			one.Consumers = s.consumers
			err := s.declare(q) // it exists, so this compares its arguments alone
			if one.Mismatch = isMismatch(err); one.Mismatch {
				s.ch = nil // the server has closed it
			} else if err != nil {
				return nil, err
			}
		}
		all = append(all, one)
	}
	return all, nil
}
