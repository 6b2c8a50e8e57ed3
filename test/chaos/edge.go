package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The proxies that stand between senders and `serve`, with the configurations that the
// repository documents.
const (
	nginx   = "nginx"
	haproxy = "haproxy"
)

// edge is a running proxy.
type edge struct {
	kind, program string
	root, dir     string
	port          int
	cmd           *exec.Cmd
	exited        chan struct{}
}

func (e *edge) url() string { return fmt.Sprintf("http://127.0.0.1:%d", e.port) }

// startEdge runs a proxy to servers and returns when it accepts connections.
func startEdge(ctx context.Context, kind, root, dir string, port int, servers []string) (*edge, error) {
	e := &edge{kind: kind, program: "/usr/sbin/" + kind, root: root, dir: dir, port: port}
	if found, err := exec.LookPath(kind); err == nil {
		e.program = found
	}
	if _, err := os.Stat(e.program); err != nil {
		return nil, fmt.Errorf("%s is not installed; install its Debian package", kind)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of %s: %w", kind, err)
	}
	config, err := e.configure(servers)
	if err != nil {
		return nil, err
	}
	args := []string{"-db", "-f", config}
	if kind == nginx {
		args = []string{"-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", config, "-g", "daemon off;"}
	}
	log, err := os.Create(filepath.Join(dir, kind+".log"))
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", kind, err)
	}
	defer func() { _ = log.Close() }()
	e.cmd = exec.Command(e.program, args...) //nolint:gosec,noctx // it is ended by signals
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	e.exited = make(chan struct{})
	go func() { _ = e.cmd.Wait(); close(e.exited) }()
	late, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s does not accept connections; its log is in %s", kind, dir))
	defer cancel()
	return e, until(late, 20*time.Millisecond, func() bool {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second) //nolint:noctx // on this machine
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// configure writes the documented configuration, with these servers and this port.
func (e *edge) configure(servers []string) (path string, err error) {
	lines := make([]string, len(servers))
	if e.kind == haproxy {
		for i, s := range servers {
			lines[i] = fmt.Sprintf("server serve%d %s", i+1, s)
		}
		return e.adapt("deploy/haproxy/edge.cfg", "haproxy.cfg", "bind :8080", fmt.Sprintf("bind 127.0.0.1:%d", e.port),
			"server serve1 serve1:3000", strings.Join(lines, "\n\t"), "\tserver serve2 serve2:3000\n", "", "\tserver serve3 serve3:3000\n", "")
	}
	const server = "server api:3000 resolve max_fails=1 fail_timeout=2s;"
	for i, s := range servers {
		lines[i] = strings.Replace(server, "api:3000 resolve", s, 1)
	}
	included, err := e.adapt("docker/nginx.conf", "server.conf", "listen 8080;", fmt.Sprintf("listen 127.0.0.1:%d;", e.port),
		server, strings.Join(lines, "\n    "))
	if err != nil {
		return "", err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // the folder is root's
	}
	main := fmt.Sprintf("%spid %s/pid;\nerror_log %[2]s/error.log;\nworker_processes 2;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[2]s;\nproxy_temp_path %[2]s;\nfastcgi_temp_path %[2]s;\nuwsgi_temp_path %[2]s;\nscgi_temp_path %[2]s;\ninclude %[3]s;\n}\n",
		user, e.dir, included)
	path = filepath.Join(e.dir, "nginx.conf")
	return path, os.WriteFile(path, []byte(main), 0o600)
}

// adapt writes a documented configuration with texts replaced: each, and what it becomes.
func (e *edge) adapt(document, name string, replacements ...string) (path string, err error) {
	text, err := os.ReadFile(filepath.Join(e.root, filepath.FromSlash(document)))
	if err != nil {
		return "", fmt.Errorf("the configuration of %s: %w", e.kind, err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(string(text), replacements[i]) {
			return "", fmt.Errorf("%s does not contain %q", document, replacements[i])
		}
	}
	path = filepath.Join(e.dir, name)
	return path, os.WriteFile(path, []byte(strings.NewReplacer(replacements...).Replace(string(text))), 0o600) //nolint:gosec // a folder of our own
}

// point makes the proxy use other servers. haproxy checks those that it knows by itself.
func (e *edge) point(servers []string) error {
	if e.kind == haproxy {
		return nil
	}
	if _, err := e.configure(servers); err != nil {
		return err
	}
	return e.cmd.Process.Signal(syscall.SIGHUP)
}

// stop ends the proxy.
func (e *edge) stop(ctx context.Context) error {
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	late, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case <-e.exited:
		return nil
	case <-late.Done():
		return errors.Join(fmt.Errorf("%s did not end", e.kind), syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL))
	}
}

// startProxy starts the scenario's proxy, if it has one, and reserves the ports behind it.
func (r *run) startProxy(ctx context.Context) (err error) {
	if r.behind == "" {
		return nil
	}
	for range max(r.room, r.serves) {
		r.reserved = append(r.reserved, r.ports.next())
	}
	first := r.behindProxy(0, r.serves)
	if r.behind == haproxy { // it checks which of them there are
		first = r.behindProxy(0, len(r.reserved))
	}
	r.edge, err = startEdge(ctx, r.behind, r.root, filepath.Join(r.dir, r.behind), r.ports.next(), first)
	return err
}

// behindProxy returns the addresses of serve processes, from one to before another.
func (r *run) behindProxy(from, to int) []string {
	var list []string
	for _, port := range r.reserved[from:to] {
		list = append(list, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return list
}

// portOf is the port of a process.
func (r *run) portOf(kind string, i int) int {
	if kind == "serve" && i < len(r.reserved) {
		return r.reserved[i]
	}
	return r.ports.next()
}

// targets are where senders connect.
func (r *run) targets() []string {
	if r.edge != nil {
		return []string{r.edge.url()}
	}
	list := make([]string, len(r.serving))
	for i, p := range r.serving {
		list[i] = p.url
	}
	return list
}
