package database

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacked makes the kernel close a connection whose peer acknowledges nothing for so
// long: a machine without power or network sends no reset.
func limitUnacked(d time.Duration) func(network, address string, conn syscall.RawConn) error {
	return func(_, _ string, conn syscall.RawConn) error {
		return conn.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())) // if this fails, the deadlines apply
		})
	}
}
