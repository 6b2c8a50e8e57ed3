package broker

// Status is the state of the connections, as far as the process knows it.
type Status struct {
	Publishing, Consuming bool // connected
	Blocked               bool // the broker accepts no messages: it is low on memory or disk
}

// Status returns the state of the connections without asking the server.
func (b *RabbitMQ) Status() Status {
	connected := func(c *managedConn) bool {
		conn, _, _ := c.state()
		return conn != nil
	}
	s := Status{Publishing: connected(b.publishing), Consuming: connected(b.consuming)}
	p := b.publisher.Load()
	s.Blocked = s.Publishing && p != nil && p.blocked.Load()
	return s
}

// Status is always connected.
func (m *Memory) Status() Status { return Status{Publishing: true, Consuming: true} }
