//go:build !failpoint

package failpoint

// Hit marks a failpoint. In this build it does nothing.
func Hit(string) {}
