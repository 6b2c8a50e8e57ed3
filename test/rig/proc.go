package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the processor time of a process and all its descendants, including those that
// have exited and were waited for; 0 if there is no such process. Source:
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func CPU(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	children, used := map[int][]int{}, map[int]int64{}
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range entries {
		own, parent, ticks := readStat(path)
		children[parent] = append(children[parent], own)
		used[own] = ticks
	}
	var sum int64
	family := []int{pid}
	for i := 0; i < len(family); i++ {
		sum += used[family[i]]
		family = append(family, children[family[i]]...)
	}
	return time.Duration(sum) * tick
}

func readStat(path string) (pid, parent int, ticks int64) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, 0 // it has exited
	}
	number, _, _ := bytes.Cut(text, []byte(" "))
	pid, _ = strconv.Atoi(string(number))
	// The name, in brackets, may contain anything; the state follows it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return pid, 0, 0
	}
	parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(field, 10, 64)
		ticks += n
	}
	return pid, parent, ticks
}

// PeakMemory returns the peak memory of a process, in bytes; 0 if it has exited.
func PeakMemory(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}
