//go:build !(linux || darwin || freebsd)

package doctor

import "errors"

// Free is not known on this system.
func Free(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
