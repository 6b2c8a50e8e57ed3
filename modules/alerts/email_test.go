package alerts

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// mailServer speaks as much SMTP as a client of one mail needs.
type mailServer struct {
	tls      *tls.Config
	implicit bool   // TLS from the beginning
	starttls bool   // offers STARTTLS
	login    string // what AUTH PLAIN must say, "" for no AUTH
	refuse   string // the answer to MAIL, "" to take it

	mu    sync.Mutex
	mails []sentMail
}

type sentMail struct {
	from string
	to   []string
	text string
	tls  bool
}

func (s *mailServer) received() []sentMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sentMail(nil), s.mails...)
}

// start serves until the test ends, and returns the address.
func (s *mailServer) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return l.Addr().String()
}

func (s *mailServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	var m sentMail
	if s.implicit {
		c, m.tls = tls.Server(c, s.tls), true
	}
	r := bufio.NewReader(c)
	say := func(lines ...string) { _, _ = c.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")) }
	say("220 mail.example ESMTP")
	loggedIn := s.login == ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			offers := []string{"250-mail.example"}
			if s.starttls && !m.tls {
				offers = append(offers, "250-STARTTLS")
			}
			if s.login != "" {
				offers = append(offers, "250-AUTH PLAIN")
			}
			say(append(offers, "250 8BITMIME")...)
		case "STARTTLS":
			say("220 go ahead")
			c, m.tls = tls.Server(c, s.tls), true
			r = bufio.NewReader(c)
		case "AUTH":
			said, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if loggedIn = string(said) == s.login; loggedIn {
				say("235 welcome")
			} else {
				say("535 5.7.8 \x1b[2Jforged")
			}
		case "MAIL":
			switch {
			case !loggedIn:
				say("530 log in first")
			case s.refuse != "":
				say(s.refuse)
			default:
				m.from = rest
				say("250 ok")
			}
		case "RCPT":
			m.to = append(m.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for line, err = r.ReadString('\n'); err == nil && line != ".\r\n"; line, err = r.ReadString('\n') {
				text.WriteString(line)
			}
			m.text = text.String()
			s.mu.Lock()
			s.mails = append(s.mails, m)
			s.mu.Unlock()
			m.to = nil
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default: // RSET, NOOP
			say("250 ok")
		}
	}
}

// withMail is setup with mails to a server as the only target.
func withMail(t *testing.T, db *database.DB, authority *testkit.Authority, url string) *fixture {
	f := setup(t, db)
	f.cfg.Targets = []Target{{Name: "email", Kind: Email, URL: secret.New(url), From: "gateway@example.com", To: []string{"a@example.com", "b@example.com"}}}
	f.cfg.MailAuthorities = authority.Pool()
	return f
}

const plainLogin = "\x00gateway\x00p@ss"

func TestAnAlertIsMailed(t *testing.T) {
	authority := testkit.NewAuthority(t)
	encrypted := &tls.Config{Certificates: []tls.Certificate{authority.Issue(time.Hour, time.Hour).Pair(t)}}
	for _, c := range []struct {
		name, url string
		server    *mailServer
	}{
		{"with STARTTLS and a password", "smtp://gateway:p%%40ss@%s", &mailServer{tls: encrypted, starttls: true, login: plainLogin}},
		{"with TLS and a password", "smtps://gateway:p%%40ss@%s", &mailServer{tls: encrypted, implicit: true, login: plainLogin}},
		{"through a relay without TLS", "smtp://%s?tls=none", &mailServer{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) {
				c.server.mails = nil
				f := withMail(t, db, authority, fmt.Sprintf(c.url, c.server.start(t)))
				f.evaluate(deadLetters(3))
				f.evaluate(deadLetters(0))
				f.evaluate(deadLetters(0))
				require.NoError(t, f.sendDue(t.Context()))
				mails := c.server.received()
				require.Len(t, mails, 2)
				opened, err := mail.ReadMessage(strings.NewReader(mails[0].text))
				require.NoError(t, err)
				resolved, err := mail.ReadMessage(strings.NewReader(mails[1].text))
				require.NoError(t, err)
				require.Equal(t, c.server.tls != nil, mails[0].tls)
				require.Contains(t, mails[0].from, "<gateway@example.com>")
				require.Len(t, mails[0].to, 2)
				require.Equal(t, "[ticket] Open dead letters of the kind exhausted: 3.", opened.Header.Get("Subject"))
				require.Equal(t, "Resolved: Open dead letters of the kind exhausted: 3.", resolved.Header.Get("Subject"))
				require.Equal(t, "auto-generated", opened.Header.Get("Auto-Submitted"))
				require.Equal(t, opened.Header.Get("References"), resolved.Header.Get("References"), "one thread")
				require.NotEqual(t, opened.Header.Get("Message-Id"), resolved.Header.Get("Message-Id"))
				require.Contains(t, mails[0].text, "docs/runbook.md, dead_letters")
			})
		})
	}
}

// TestAMailThatCannotBeSentIsTriedAgain lets each step fail, and reads what is stored of it.
func TestAMailThatCannotBeSentIsTriedAgain(t *testing.T) {
	authority := testkit.NewAuthority(t)
	own := &tls.Config{Certificates: []tls.Certificate{authority.Issue(time.Hour, time.Hour).Pair(t)}}
	foreign := &tls.Config{Certificates: []tls.Certificate{testkit.NewAuthority(t).Issue(time.Hour, time.Hour).Pair(t)}}
	const url = "smtp://gateway:p%%40ss@%s"
	for _, c := range []struct {
		name, url, error string
		server           *mailServer
	}{
		{"a server without STARTTLS", url, "email: the mail server offers no STARTTLS", &mailServer{login: plainLogin}},
		{"a foreign certificate", url, "email: the connection to the mail server failed: tls", &mailServer{tls: foreign, starttls: true}},
		{"a wrong password", url, "email: the mail server answered 535 before it took the mail", &mailServer{tls: own, starttls: true, login: "another"}},
		{"a full mailbox", "smtp://%s?tls=none", "email: the mail server refused the mail with 452", &mailServer{refuse: "452 4.2.2 full \x1b[2J"}},
		{"nobody there", "smtp://%s?tls=none", "email: the connection to the mail server failed: connection_refused", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := "127.0.0.1:1"
			if c.server != nil {
				address = c.server.start(t)
			}
			f := withMail(t, testkit.Open(t, testkit.SQLite(t)), authority, fmt.Sprintf(c.url, address))
			f.evaluate(deadLetters(3))
			require.NoError(t, f.sendDue(t.Context()), "a server that is down is no failure of ours")
			require.Len(t, f.alerts("?state=open"), 1)
			var waiting struct {
				Error    string      `db:"error"`
				Attempts int         `db:"attempts"`
				DoneAt   *clock.Time `db:"done_at"`
			}
			require.NoError(t, f.d.DB.Get(t.Context(), &waiting, `SELECT error, attempts, done_at FROM alert_notices`))
			require.Equal(t, c.error, waiting.Error)
			require.Positive(t, waiting.Attempts)
			require.Nil(t, waiting.DoneAt, "it is tried again")
		})
	}
}

// TestASilentMailServerIsLeft connects to a server that never answers.
func TestASilentMailServerIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			accepted <- c
		}
	}()
	f := withMail(t, testkit.Open(t, testkit.SQLite(t)), testkit.NewAuthority(t), "smtp://"+l.Addr().String()+"?tls=none")
	at := clock.At(f.d.Now())
	said := message{"alert.test", at, alert{ID: "a-1", Condition: test, Severity: ticket, Summary: "A \r\ntest.\x00", Since: at}.view()}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c := <-accepted
		cancel()
		t.Cleanup(func() { _ = c.Close() })
	}()
	err = f.sendMail(ctx, f.cfg.Targets[0], notice{ID: "n-1"}, said)
	require.ErrorContains(t, err, "the connection to the mail server failed")
	mailed, err := f.mail(f.cfg.Targets[0], notice{ID: "n-1"}, said)
	require.NoError(t, err)
	var text strings.Builder
	_, err = mailed.WriteTo(&text)
	require.NoError(t, err)
	require.Contains(t, text.String(), "Subject: Test: A   test.", "a summary cannot add a header")
}
