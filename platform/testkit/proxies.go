package testkit

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startTimeout is for a program to listen on a busy machine.
const startTimeout = time.Minute

// Program returns the path of an installed program. Without it the test is skipped, or fails
// on CI, which installs the Debian package of that name.
func Program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name) // not in every user's PATH
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed, and CI tests with it: apt-get install %s", name, debianPackage)
	}
	t.Skipf("%s is not installed (apt-get install %s)", name, debianPackage)
	return ""
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// Run starts a program that ends with the test, and returns when it listens on all
// addresses.
func Run(t testing.TB, addresses []string, binary string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, args...) //nolint:gosec,noctx // a test's own; it is ended below
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	for _, address := range addresses {
		require.Eventually(t, func() bool {
			conn, err := net.DialTimeout("tcp", address, time.Second) //nolint:noctx // it has a timeout
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		}, startTimeout, 20*time.Millisecond, "%s does not listen on %s; see its log: %s", binary, address, readLog{log.Name()})
	}
	return cmd
}

// readLog is a log that is read when a failure is shown.
type readLog struct{ path string }

func (l readLog) String() string {
	text, _ := os.ReadFile(l.path)
	return string(text)
}

// PgBouncer starts a PgBouncer in front of a database, with its defaults but for pool_mode
// and the given lines of configuration, and returns the database's URL through it.
func PgBouncer(t testing.TB, databaseURL, poolMode string, lines ...string) string {
	t.Helper()
	binary := Program(t, "pgbouncer", "pgbouncer")
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	port := u.Port()
	if port == "" {
		port = "5432"
	}
	password, _ := u.User.Password()
	address := FreeAddress(t)
	_, own, err := net.SplitHostPort(address)
	require.NoError(t, err)

	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	require.NoError(t, os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", u.User.Username(), password), 0o644)) //nolint:gosec // another user reads it
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = %s
%s
`, u.Hostname(), port, own, users, poolMode, strings.Join(lines, "\n"))
	require.NoError(t, os.WriteFile(config, []byte(text), 0o644)) //nolint:gosec // another user reads it
	args := []string{config}
	if os.Getuid() == 0 { // it refuses to run as root
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) //nolint:gosec // for the other user
		require.NoError(t, os.Chmod(dir, 0o755))               //nolint:gosec // for the other user
		name := "nobody"
		if _, err := user.Lookup("postgres"); err == nil {
			name = "postgres"
		}
		args = []string{"-u", name, config}
	}
	Run(t, []string{address}, binary, args...)
	u.Host = address
	return u.String()
}
