//go:build !linux

package database

import (
	"syscall"
	"time"
)

// limitUnacked does nothing here: the deadlines and the keepalive detect a dead peer.
func limitUnacked(time.Duration) func(network, address string, conn syscall.RawConn) error {
	return nil
}
