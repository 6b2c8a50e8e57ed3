package test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// waitTimeout is how long a test waits for an expected event.
const waitTimeout = 60 * time.Second

// maxParallel is the number of parallel tests: they wait for processes and leases, and
// rarely need a core.
const maxParallel = 4

// scratch contains the program; TestMain removes it.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", strconv.Itoa(max(maxParallel, runtime.GOMAXPROCS(0))))
	if err != nil {
		panic(err)
	}
	if scratch, err = os.MkdirTemp("", "gateway-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// shared allows builds in different folders to share the build cache.
const shared = "-trimpath"

// build builds the program, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "gateway")
	cmd := exec.Command("go", "build", shared, "-o", path, ".")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// process is a gateway started like an operator starts it.
type process struct {
	t      *testing.T
	name   string
	base   string // its base URL
	cmd    *exec.Cmd
	output testkit.Log
	ended  chan struct{}
}

// startProcess runs the program with these arguments and only env as its environment. It is
// killed when the test ends; its output is shown if the test failed.
func startProcess(t *testing.T, env map[string]string, args ...string) *process {
	t.Helper()
	program, err := build()
	require.NoError(t, err)
	p := &process{t: t, name: strings.Join(args, " "), cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = []string{}
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of gateway %s:\n%s", p.name, tail(p.output.String(), 120))
		}
	})
	return p
}

// tail returns the last lines of a log, without the test's own requests.
func tail(text string, lines int) string {
	all := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return strings.Contains(line, `"method":"GET"`) })
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// kill kills the process, like a power failure, and waits until it has exited.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the process to exit, like an ordinary deployment.
func (p *process) terminate() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM)) }

// exitCode waits for the process to exit.
func (p *process) exitCode(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		require.Fail(p.t, "the process did not exit", "gateway %s, within %s", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// logLines returns the process's log lines.
func (p *process) logLines() []map[string]any {
	var list []map[string]any
	for line := range strings.Lines(p.output.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil {
			list = append(list, fields)
		}
	}
	return list
}

// hasLogged reports whether there is a log line with this message.
func (p *process) hasLogged(message string) bool {
	for _, line := range p.logLines() {
		if line["msg"] == message {
			return true
		}
	}
	return false
}

var lastPort atomic.Int32

// freePort returns a free port below the system's ephemeral range, so that a restarted
// process finds it free.
func freePort(t *testing.T) int {
	t.Helper()
	const first, span = 20_000, 10_000
	for range span {
		port := first + (os.Getpid()+int(lastPort.Add(1)))%span
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		return port
	}
	require.Fail(t, "no port is free")
	return 0
}

// eventually waits until ready, which runs in the test's goroutine.
func eventually(t *testing.T, ready func() bool, what string, args ...any) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(waitTimeout)
	for !ready() {
		select {
		case <-tick.C:
		case <-end:
			require.Fail(t, "not within "+waitTimeout.String()+": "+fmt.Sprintf(what, args...))
		}
	}
}
