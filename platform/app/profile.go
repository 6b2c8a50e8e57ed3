package app

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// profileVariable names a file for a CPU profile of the process, from when it begins
// to run until it has stopped. scripts/bench --profile sets it; it is no setting.
const profileVariable = "GATEWAY_CPUPROFILE"

// profiled begins the profile, where one is asked for, and gives what ends it.
func profiled() (end func() error, err error) {
	path := os.Getenv(profileVariable)
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path) //nolint:gosec // named by whoever started the process
	if err != nil {
		return nil, fmt.Errorf("%s: %w", profileVariable, err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", profileVariable, err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
