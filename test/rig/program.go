package rig

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTimeout = 40 * time.Second
	stopsWithin  = 40 * time.Second
)

// Program is a child process that runs until Stop. Its output goes to a log file named
// after it; it ends with its parent.
type Program struct {
	Name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // valid after exited is closed
}

// Launch starts a program in dir; env is its complete environment.
func Launch(dir, name, binary string, env []string, args ...string) (*Program, error) {
	p := &Program{Name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(binary, args...) //nolint:gosec,noctx // our own; it is ended by signals
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID returns the process's number.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Ready waits until url answers 200.
func (p *Program) Ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no 200 from %s", url))
	defer cancel()
	client := http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, &client, url) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("%s exited (%w); its log: %s", p.Name, p.err, p.log)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; its log: %s", p.Name, context.Cause(ctx), p.log)
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Stop asks the program to exit and waits until it has. An error means that it exited
// abnormally.
func (p *Program) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.NewTimer(stopsWithin)
	defer late.Stop()
	select {
	case <-p.exited:
	case <-late.C:
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s had not exited %v after SIGTERM; its log: %s", p.Name, stopsWithin, p.log)
	}
	if p.err != nil {
		return fmt.Errorf("%s exited with %w; its log: %s", p.Name, p.err, p.log)
	}
	return nil
}

// FreePort returns a free loopback port after the given one, below the kernel's ephemeral
// range.
func FreePort(after int) int {
	for port := max(after, 14000) + 1; ; port++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // closed at once
		if err == nil {
			_ = listener.Close()
			return port
		}
	}
}
