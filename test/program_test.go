package test

import (
	"bytes"
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
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// atOnce is how many tests may run side by side: they wait for processes and for
// leases, and seldom for a core of this machine.
const atOnce = 4

// scratch holds the program; TestMain removes it.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0))))
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

// shared lets builds in different folders use each other's results.
const shared = "-trimpath"

// build makes the program, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "gateway")
	cmd := exec.Command("go", "build", shared, "-o", path, ".")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// transcript is what a process has said so far.
type transcript struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// process is a gateway that was started as an operator starts it.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	said  transcript
	ended chan struct{}
}

// startProcess runs the program with these arguments and no environment but env. It is
// killed when the test ends; what it said is shown when the test failed.
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
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("gateway %s said:\n%s", p.name, tail(p.said.String(), 120))
		}
	})
	return p
}

// tail is the last lines of a log, without the test's own questions.
func tail(text string, lines int) string {
	all := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return strings.Contains(line, `"method":"GET"`) })
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// kill ends the process as a power cut does, kill -9, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the process to end, as an ordinary deploy does.
func (p *process) terminate() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM)) }

// exitCode waits for the process's end.
func (p *process) exitCode(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		require.Fail(p.t, "the process did not end", "gateway %s, within %s", p.name, within)
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

// logged gives the process's log lines.
func (p *process) logged() []map[string]any {
	var list []map[string]any
	for line := range strings.Lines(p.said.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil {
			list = append(list, fields)
		}
	}
	return list
}

// has reports a log line of this message.
func (p *process) has(message string) bool {
	for _, line := range p.logged() {
		if line["msg"] == message {
			return true
		}
	}
	return false
}

var lastPort atomic.Int32

// freePort gives a port that nobody listens on. It is below those that the system
// gives to clients, so that a process which is started again finds it free.
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

// eventually waits until ready, which runs on the test's own goroutine.
func eventually(t *testing.T, ready func() bool, what string, args ...any) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ready() {
		select {
		case <-tick.C:
		case <-end:
			require.Fail(t, "it did not happen within "+patience.String()+": "+fmt.Sprintf(what, args...))
		}
	}
}
