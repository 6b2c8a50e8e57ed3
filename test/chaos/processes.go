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
	startsWithin  = 40 * time.Second
)

// ports gives free ports below those that the kernel hands out.
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

// supervisor runs processes, starts again what ended, and remembers what ended without
// having been asked to.
type supervisor struct {
	mu        sync.Mutex
	processes []*process
	ended     []string
}

func (s *supervisor) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, fmt.Sprintf(format, args...))
}

// process is a gateway that is kept running.
type process struct {
	supervisor *supervisor
	name       string
	binary     string
	args, env  []string
	armed      string // GATEWAY_FAILPOINT of the first start
	dir, url   string // url answers /livez and /readyz

	mu     sync.Mutex
	cmd    *exec.Cmd
	asked  bool // its end was asked for
	held   bool // it is not to be started again
	exited chan struct{}
	died   chan time.Time // receives when the failpoint has killed it
	gone   chan struct{}  // closed when it is not started any more
}

// start runs p, and again whenever it ends, until stop.
func (s *supervisor) start(p *process) error {
	p.supervisor = s
	p.died, p.gone = make(chan time.Time, 1), make(chan struct{})
	if err := p.launch(p.armed); err != nil {
		return err
	}
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	go p.keep()
	return nil
}

func (p *process) launch(failpoint string) error {
	log, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the log of %s: %w", p.name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.binary, p.args...) //nolint:gosec,noctx // our own; it ends by signals
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
	p.cmd, p.asked, p.exited = cmd, false, make(chan struct{})
	return nil
}

func (p *process) keep() {
	armed := p.armed != ""
	for {
		p.mu.Lock()
		cmd, exited := p.cmd, p.exited
		p.mu.Unlock()
		err := cmd.Wait()
		at := clock.System()
		p.mu.Lock()
		asked, held := p.asked, p.held
		p.mu.Unlock()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		killed := status.Signaled() && status.Signal() == syscall.SIGKILL
		switch {
		case asked && !killed && err != nil:
			p.supervisor.complain("%s ended with %v when it was asked to stop", p.name, err)
		case asked:
		case armed && killed:
			armed = false
			p.died <- at
		default:
			p.supervisor.complain("%s ended by itself (%v)", p.name, err)
		}
		close(exited)
		if held {
			close(p.gone)
			return
		}
		<-time.After(restartsAfter)
		if err := p.launch(""); err != nil {
			p.supervisor.complain("%v", err)
			close(p.gone)
			return
		}
	}
}

// end asks the process to end by sig and waits until it has; it is started again, unless
// hold says not to.
func (p *process) end(ctx context.Context, sig syscall.Signal, hold bool) error {
	p.mu.Lock()
	p.asked, p.held = true, hold
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	_ = cmd.Process.Signal(sig)
	late := time.NewTimer(stopsWithin)
	defer late.Stop()
	select {
	case <-exited:
		return nil
	case <-late.C:
		p.supervisor.complain("%s had not ended %v after %v", p.name, stopsWithin, sig)
		_ = cmd.Process.Kill()
		<-exited
		return nil
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-exited
		return context.Cause(ctx)
	}
}

// signal sends one that the process survives.
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

// restart ends the process by sig and waits until its successor is ready.
func (p *process) restart(ctx context.Context, sig syscall.Signal) error {
	if err := p.end(ctx, sig, false); err != nil {
		return err
	}
	return p.ready(ctx, "/readyz")
}

// up starts a process again that end held back.
func (p *process) up(ctx context.Context) error {
	<-p.gone
	p.mu.Lock()
	p.held, p.gone = false, make(chan struct{})
	p.mu.Unlock()
	if err := p.launch(""); err != nil {
		return err
	}
	go p.keep()
	return p.ready(ctx, "/readyz")
}

// ready waits until a probe answers 200.
func (p *process) ready(ctx context.Context, probe string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startsWithin, fmt.Errorf("%s does not answer %s", p.name, probe))
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

// stop ends everything, in order, by SIGTERM.
func (s *supervisor) stop(ctx context.Context) error {
	s.mu.Lock()
	list := s.processes
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range list {
		all.Go(func() {
			select {
			case <-p.gone:
				return
			default:
			}
			_ = p.signal(syscall.SIGCONT)
			_ = p.end(ctx, syscall.SIGTERM, true)
		})
	}
	all.Wait()
	return nil
}

// panics are the first lines of panics in a scenario's logs.
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
