package test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq" // the owner's own way to the database
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// grantsSQL returns the statements of docs/security.md, for a test role.
func grantsSQL(t *testing.T, role string) string {
	text, err := os.ReadFile("../docs/security.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```sql\n(CREATE ROLE gateway_app .*?)```").FindStringSubmatch(string(text))
	require.Len(t, block, 2, "docs/security.md lists the grants")
	return strings.ReplaceAll(strings.ReplaceAll(block[1], "gateway_app", role), "'…'", "'"+role+"'")
}

// asApplication creates the documented role in the installation's database, and makes every
// process started later use it.
func (g *gateway) asApplication() *sql.DB {
	g.t.Helper()
	role := "gateway_app_" + strings.ReplaceAll(id.New(), "-", "")
	owner, err := sql.Open("postgres", g.database)
	require.NoError(g.t, err)
	_, err = owner.ExecContext(g.t.Context(), grantsSQL(g.t, role))
	require.NoError(g.t, err)
	u, err := url.Parse(g.database)
	require.NoError(g.t, err)
	u.User = url.UserPassword(role, role)
	g.set("DATABASE_URL", u.String())
	application, err := sql.Open("postgres", u.String())
	require.NoError(g.t, err)
	g.t.Cleanup(func() {
		_ = application.Close()
		_, err := owner.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role) //nolint:noctx // the test's context has ended
		require.NoError(g.t, err)
		_ = owner.Close()
	})
	return application
}

func TestTheApplicationsRoleCannotChangeTheTrail(t *testing.T) {
	t.Parallel()
	g := onServers(t, journeySettings...)
	application := g.asApplication()
	g.serve()
	j := journey{t: t, gateway: g, secretsKey: secretsKey, separate: true, startWorker: func() { g.work() }}
	j.execute()
	for _, statement := range []string{
		"UPDATE audit_entries SET actor = 'nobody'", "DELETE FROM audit_entries", "TRUNCATE audit_entries", "DROP TABLE audit_entries",
		"UPDATE audit_groups SET entries = ''", "DELETE FROM audit_groups", "TRUNCATE audit_groups", "DROP TABLE audit_groups",
		"UPDATE audit_trail SET actor = 'nobody'", "DELETE FROM audit_trail",
		"UPDATE audit_seals SET hash = ''", "DELETE FROM audit_seals", "TRUNCATE audit_seals", "ALTER TABLE audit_seals DISABLE TRIGGER ALL",
	} {
		_, err := application.ExecContext(t.Context(), statement)
		require.Error(t, err, statement)
		require.Regexp(t, "permission denied|must be owner|cannot (update|delete from) view", err.Error(), statement)
	}
	// The gateway seals concurrently, so the seal's number is far ahead, and it is deleted again.
	tx, err := application.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `INSERT INTO audit_seals (seq, first_id, last_id, count, late, leaves, sealed_by, swept_seq,
		previous_hash, hash, sealed_at, dropped_seq, dropped_hash) SELECT 1000000, id, id, 0, false, '', '', 0, '', '', now(), 0, '' FROM audit_entries LIMIT 1`)
	require.NoError(t, err, "it may seal")
	require.NoError(t, tx.Rollback())
	require.NotEmpty(t, g.run("audit", "export"), "and read")
}

// TestNoSecretIsFoundAnywhere creates secrets of every kind, uses them, and looks for each
// in the database, in Redis, in the logs and in the responses.
func TestNoSecretIsFoundAnywhere(t *testing.T) {
	t.Parallel()
	const readKey = "r-3c9a51d07e2b48f6a1d7e0c49b583f62"
	g := onServers(t, append([]string{"SECRETS_READ_KEYS", readKey, "EGRESS_DENY", "denied.example"}, journeySettings...)...)
	g.serve()
	g.work()
	certificate, key := clientCertificate(t)
	secrets := map[string]string{
		"a source's": "made-source-secret-71", "a later one": "made-second-secret-72", "a bearer token": "made-bearer-token-73",
		"a header": "made-header-value-74", "seeded": acmeSecret, "the management key": managementKey, "SECRETS_KEY": secretsKey,
		"a key that only decrypts": readKey, "a client's key": strings.Split(key, "\n")[1],
	}
	body, err := json.Marshal(map[string]any{"source": "made", "provider": "acme", "secrets": []string{secrets["a source's"]},
		"destinations": []map[string]any{{"url": g.receiver.server.URL + "/made", "headers": map[string]string{"X-Made": secrets["a header"]},
			"auth": map[string]string{"type": "bearer", "token": secrets["a bearer token"]}},
			{"url": "https://127.0.0.1:1/made", "tls": map[string]string{"clientCertificate": certificate, "clientKey": key}}}})
	require.NoError(t, err)
	made := g.manage(http.MethodPost, "/integrations", string(body))
	g.manage(http.MethodPost, "/integrations/"+made.ID+"/secrets", `{"value":"`+secrets["a later one"]+`"}`)
	r := g.send(http.StatusAccepted, "acme", order("evt_secret", "ord_secret"), "")
	g.waitForStatus(r.EventID, "processed")
	g.run("secrets", "rotate-key")
	for _, key := range []string{secrets["a source's"], managementKey} {
		res, _, err := g.ask(http.MethodPost, "/api/v1/webhooks/made", []byte(`{"eventId":"x"}`), map[string]string{"Content-Type": "application/json", "x-acme-signature": key, "Authorization": key,
			"Cookie": key, "x-api-key": key, "x-anything": key})
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, "a sender that sends the secret itself")
	}
	db := g.open()
	eventually(t, func() bool { return g.total(db, "quarantine") == 2 }, "the refused requests are quarantined")
	var anything []any
	for _, path := range []string{"/integrations", "/events?pageSize=100", "/deliveries?pageSize=100", "/audit-entries?pageSize=100", "/quarantine"} {
		g.get(path, &anything)
	}

	require.Len(t, made.SigningSecrets, 2)
	answers := g.responses.String()
	for _, shown := range made.SigningSecrets {
		answers = strings.Replace(answers, shown.SigningSecret, "", 1) // it is shown once
	}
	secrets["a signing secret"] = made.SigningSecrets[0].SigningSecret
	places := map[string]string{"the database": g.dump(), "Redis": g.redis(), "the responses": answers}
	require.Contains(t, places["the database"], "ord_secret", "the dump is complete")
	require.NotEmpty(t, places["Redis"])
	require.Contains(t, answers, "evt_secret")
	for _, p := range g.processes {
		places["the log of gateway "+p.name] = p.output.String()
	}
	for kind, secret := range secrets {
		for place, text := range places {
			for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)]} {
				require.False(t, strings.Contains(text, form), "%s contains %s", place, kind)
			}
		}
	}
}

// clientCertificate makes a certificate with its key, in PEM.
func clientCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain}))
}

// madeIntegration is the response to a new integration.
type madeIntegration struct {
	ID             string `json:"id"`
	SigningSecrets []struct {
		SigningSecret string `json:"signingSecret"`
	} `json:"signingSecrets"`
}

func (g *gateway) manage(method, path, body string) (made madeIntegration) {
	g.t.Helper()
	res, e, err := g.ask(method, "/api/v1"+path, []byte(body), map[string]string{"x-internal-api-key": managementKey, "Content-Type": "application/json"})
	require.NoError(g.t, err)
	require.Equal(g.t, http.StatusCreated, res.StatusCode, e.Error.Message)
	require.NoError(g.t, decode(e.Data, &made))
	return made
}

// dump returns every row of every table, bytes as text if possible.
func (g *gateway) dump() string {
	g.t.Helper()
	db := g.open()
	var tables, rows []string
	require.NoError(g.t, db.Select(g.t.Context(), &tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`))
	require.Greater(g.t, len(tables), 10)
	for _, table := range tables {
		var texts []string
		require.NoError(g.t, db.Select(g.t.Context(), &texts, fmt.Sprintf(`SELECT t::text FROM %s t`, table)))
		rows = append(rows, texts...)
	}
	var bodies []string
	require.NoError(g.t, db.Select(g.t.Context(), &bodies, `SELECT encode(raw_body, 'escape') FROM quarantine
		UNION ALL SELECT encode(normalized_payload, 'escape') FROM normalized_events`)) // a payload's bytes that are not in its body
	var webhooks []struct {
		Headers []byte `db:"request_headers"`
		Set     []byte `db:"headers"`
		Body    []byte `db:"raw_body"`
	}
	require.NoError(g.t, db.Select(g.t.Context(), &webhooks, `SELECT w.request_headers, h.headers, w.raw_body
		FROM webhook_events w LEFT JOIN header_sets h ON h.id = w.header_set_id`))
	for _, w := range webhooks {
		headers, err := compact.Open(w.Headers, w.Set)
		require.NoError(g.t, err)
		body, err := compact.Open(w.Body)
		require.NoError(g.t, err)
		bodies = append(bodies, string(headers), string(body))
	}
	return strings.Join(append(rows, bodies...), "\n")
}

// redisDump joins the keys and values of one installation, whatever their types.
const redisDump = `local out = {} for _, k in ipairs(redis.call('KEYS', ARGV[1])) do local v = redis.pcall('GET', k) ` +
	`if type(v) ~= 'string' then v = redis.call('DUMP', k) end out[#out+1] = k .. '=' .. v end return table.concat(out, '\n')`

func (g *gateway) redis() string {
	g.t.Helper()
	var installation string
	require.NoError(g.t, g.open().Get(g.t.Context(), &installation, `SELECT id FROM installation`))
	u, err := url.Parse(testkit.Server(g.t, testkit.RedisVariable))
	require.NoError(g.t, err)
	conn, err := net.Dial("tcp", u.Host) //nolint:noctx // it ends with the test
	require.NoError(g.t, err)
	defer func() { _ = conn.Close() }()
	args := []string{"EVAL", redisDump, "0", "*" + installation + "*"}
	_, err = fmt.Fprintf(conn, "*%d\r\n", len(args))
	require.NoError(g.t, err)
	for _, arg := range args {
		_, err = fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(arg), arg)
		require.NoError(g.t, err)
	}
	answer := bufio.NewReader(conn)
	line, err := answer.ReadString('\n')
	require.NoError(g.t, err)
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
	require.NoError(g.t, err, line)
	text := make([]byte, size)
	_, err = io.ReadFull(answer, text)
	require.NoError(g.t, err)
	return string(text)
}
