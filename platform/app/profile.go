package app

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// profileVariable names a file for a CPU profile of the process, from its start until it
// has stopped. scripts/bench --profile sets it; it is not a setting.
const profileVariable = "GATEWAY_CPUPROFILE"

// profiled starts the profile, if requested, and returns the function that ends it.
func profiled() (end func() error, err error) {
	path := os.Getenv(profileVariable)
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path) //nolint:gosec // named by the user who started the process
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
