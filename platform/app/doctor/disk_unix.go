//go:build linux || darwin || freebsd

package doctor

import "golang.org/x/sys/unix"

// Free returns the bytes of a folder's disk that this user may still write, and all of them.
func Free(folder string) (free, total uint64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, 0, err
	}
	size := uint64(stat.Bsize)
	return uint64(stat.Bavail) * size, uint64(stat.Blocks) * size, nil
}
