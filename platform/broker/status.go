package broker

// Status is the state of the connections, as far as the process knows it.
type Status struct {
	Publishing, Consuming bool // connected
	Blocked               bool // the broker accepts no messages: it is low on memory or disk
	// Mismatch says that a queue exists with other arguments, such as another type: nothing is
	// published or consumed until somebody changes that. Nil if nothing is known to be wrong.
	Mismatch error
}

// Status returns the state of the connections without asking the server.
func (b *RabbitMQ) Status() Status {
	var s Status
	connected := func(c *managedConn) bool {
		conn, _, err := c.state()
		if isMismatch(err) {
			s.Mismatch = err
		}
		return conn != nil
	}
	s.Publishing, s.Consuming = connected(b.publishing), connected(b.consuming)
	p := b.publisher.Load()
	s.Blocked = s.Publishing && p != nil && p.blocked.Load()
	return s
}

// Status is always connected.
func (m *Memory) Status() Status { return Status{Publishing: true, Consuming: true} }
