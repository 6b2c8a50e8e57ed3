package broker

import (
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// nodes are the nodes of a cluster in the order in which one connection tries them. Its
// owner uses it from one goroutine.
type nodes struct {
	urls []string
	at   int // the next to try
}

// first calls connect with each node, starting with the one after the last that was used,
// until it succeeds. Without success its error is that of every node; what a node refuses
// for good, such as a password, is not tried elsewhere.
func (n *nodes) first(connect func(url string) error) error {
	var errs []error
	for range n.urls {
		url := n.urls[n.at]
		n.at = (n.at + 1) % len(n.urls)
		err := connect(url)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if isMismatch(err) || errors.Is(err, amqp.ErrCredentials) || errors.Is(err, errClosed) {
			break
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
