//go:build !failpoint

package failpoint

// Hit marks a moment. In this build it does nothing.
func Hit(string) {}
