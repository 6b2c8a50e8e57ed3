package clock

import "time"

var began = time.Now()

// Monotonic returns the time since the process started. Unlike System it never jumps when
// the machine's clock is set.
func Monotonic() time.Duration { return time.Since(began) }
