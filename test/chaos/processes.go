package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"integration-gateway/platform/clock"
)

const (
	restartsAfter = 300 * time.Millisecond
	stopsWithin   = 40 * time.Second
	startTimeout  = 40 * time.Second
)

// ports returns free ports below the kernel's ephemeral range.
type ports struct{ last int }

func (p *ports) next() int {
	for {
		p.last++
		port := 14000 + p.last%5000
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // closed at once
		if err == nil {
			_ = listener.Close()
			return port
		}
	}
}

// supervisor runs processes, restarts those that exit, and records unexpected exits.
type supervisor struct {
	mu        sync.Mutex
	processes []*process
	ended     []string
}

func (s *supervisor) report(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, fmt.Sprintf(format, args...))
}

// process is a gateway process that is kept running.
type process struct {
	supervisor *supervisor
	name       string
	binary     string
	args, env  []string
	failpoint  string // GATEWAY_FAILPOINT of the first start
	dir, url   string // url answers /livez and /readyz

	mu            sync.Mutex
	cmd           *exec.Cmd
	stopRequested bool // its exit is expected
	onHold        bool // it must not be restarted
	exited        chan struct{}
	died          chan time.Time // receives when a failpoint has killed it
	gone          chan struct{}  // closed when it is no longer restarted
}

// start runs p, and restarts it whenever it exits, until stop.
func (s *supervisor) start(p *process) error {
	p.supervisor = s
	p.died, p.gone = make(chan time.Time, 1), make(chan struct{})
	if err := p.launch(p.failpoint); err != nil {
		return err
	}
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	go p.supervise()
	return nil
}

func (p *process) launch(failpoint string) error {
	log, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.binary, p.args...) //nolint:gosec,noctx // our own; it is ended by signals
	cmd.Dir, cmd.Env = p.dir, p.env
	if failpoint != "" {
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "GATEWAY_FAILPOINT="+failpoint)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.stopRequested, p.exited = cmd, false, make(chan struct{})
	return nil
}

func (p *process) supervise() {
	armed := p.failpoint != ""
	for {
		p.mu.Lock()
		cmd, exited := p.cmd, p.exited
		p.mu.Unlock()
		err := cmd.Wait()
		at := clock.System()
		p.mu.Lock()
		asked, held := p.stopRequested, p.onHold
		p.mu.Unlock()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		killed := status.Signaled() && status.Signal() == syscall.SIGKILL
		switch {
		case asked && !killed && err != nil:
			p.supervisor.report("%s exited with %v when asked to stop", p.name, err)
		case asked:
		case armed && killed:
			armed = false
			p.died <- at
		default:
			p.supervisor.report("%s exited unexpectedly (%v)", p.name, err)
		}
		close(exited)
		if held {
			close(p.gone)
			return
		}
		<-time.After(restartsAfter)
		if err := p.launch(""); err != nil {
			p.supervisor.report("%v", err)
			close(p.gone)
			return
		}
	}
}

// terminate ends the process with sig and waits until it has exited; it is restarted,
// unless hold says otherwise.
func (p *process) terminate(ctx context.Context, sig syscall.Signal, hold bool) error {
	p.mu.Lock()
	p.stopRequested, p.onHold = true, hold
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	_ = cmd.Process.Signal(sig)
	late := time.NewTimer(stopsWithin)
	defer late.Stop()
	select {
	case <-exited:
		return nil
	case <-late.C:
		p.supervisor.report("%s had not exited %v after %v", p.name, stopsWithin, sig)
		_ = cmd.Process.Kill()
		<-exited
		return nil
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-exited
		return context.Cause(ctx)
	}
}

// signal sends a signal that the process survives.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Signal(sig)
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// ended reports whether the process is no longer restarted.
func (p *process) ended() bool {
	p.mu.Lock()
	gone := p.gone
	p.mu.Unlock()
	select {
	case <-gone:
		return true
	default:
		return false
	}
}

// restart ends the process with sig and waits until its successor is ready.
func (p *process) restart(ctx context.Context, sig syscall.Signal) error {
	if err := p.terminate(ctx, sig, false); err != nil {
		return err
	}
	return p.ready(ctx, "/readyz")
}

// resume restarts a process that terminate held back.
func (p *process) resume(ctx context.Context) error {
	<-p.gone
	p.mu.Lock()
	p.onHold, p.gone = false, make(chan struct{})
	p.mu.Unlock()
	if err := p.launch(""); err != nil {
		return err
	}
	go p.supervise()
	return p.ready(ctx, "/readyz")
}

// ready waits until a probe answers 200.
func (p *process) ready(ctx context.Context, probe string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s does not answer %s", p.name, probe))
	defer cancel()
	client := http.Client{Timeout: 2 * time.Second}
	return until(ctx, 50*time.Millisecond, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+probe, nil)
		if err != nil {
			return false
		}
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// stop ends all processes cleanly, with SIGTERM.
func (s *supervisor) stop(ctx context.Context) error {
	s.mu.Lock()
	list := s.processes
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range list {
		all.Go(func() {
			if p.ended() {
				return
			}
			_ = p.signal(syscall.SIGCONT)
			_ = p.terminate(ctx, syscall.SIGTERM, true)
		})
	}
	all.Wait()
	return nil
}

// panics returns the first lines of panics in a scenario's logs.
func panics(dir string) (found []string) {
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, `"panic"`) {
				found = append(found, filepath.Base(path)+": "+line[:min(len(line), 200)])
			}
		}
	}
	return found
}
