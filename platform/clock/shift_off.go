//go:build !failpoint

package clock

import "time"

// shift is the clock's offset; 0 in this build.
func shift() time.Duration { return 0 }
