package alerts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"integration-gateway/platform/egress"
)

// The ports of SMTP: of submission with STARTTLS, with TLS from the beginning, and of relays.
const (
	submissionPort  = 587
	submissionsPort = 465
	relayPort       = 25
)

// sendMail makes one attempt to send a notice to a mail server. A repeat has the same
// Message-Id; the mails of one alert refer to one thread.
func (m *Module) sendMail(ctx context.Context, t Target, n notice, said message) error {
	mailed, err := m.mail(t, n, said)
	if err != nil {
		return err
	}
	server, err := m.mailServer(ctx, t)
	if err != nil {
		return err
	}
	return mailProblem(t.Name, server.DialAndSendWithContext(ctx, mailed))
}

// mail writes a notice as a mail.
func (m *Module) mail(t Target, n notice, said message) (*mail.Msg, error) {
	made := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if made.From(t.From) != nil || made.To(t.To...) != nil {
		return nil, errors.New("an address of the mail is not well-formed")
	}
	_, domain, _ := strings.Cut(t.From, "@")
	made.SetMessageIDWithValue(n.ID + "@" + domain)
	made.SetGenHeader(mail.HeaderReferences, "<"+said.Data.ID+"@"+domain+">")
	made.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence is answered
	made.SetDateWithValue(m.d.Now())
	made.Subject(oneLine(said.title()))
	made.SetBodyString(mail.TypeTextPlain, said.title()+"\n\n"+said.text()+"\n\n"+
		"condition: "+said.Data.Condition+"\nsubject:   "+said.Data.Subject+"\nalert:     "+said.Data.ID+"\n")
	return made, nil
}

// oneLine replaces what would end a header's line.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// mailServer prepares the connection to a target's server. It ends with ctx.
func (m *Module) mailServer(ctx context.Context, t Target) (*mail.Client, error) {
	u, err := url.Parse(t.URL.Reveal())
	if err != nil {
		return nil, errors.New("the mail server's address is not well-formed")
	}
	policy, port := mail.TLSMandatory, submissionPort
	encrypted := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: m.cfg.MailAuthorities}
	dial := (&net.Dialer{}).DialContext
	switch {
	case u.Scheme == "smtps":
		// The connection is encrypted before SMTP begins. With this policy go-mail looks whether
		// it is, and then may send a password; there is no STARTTLS within TLS.
		policy, port, dial = mail.TLSOpportunistic, submissionsPort, (&tls.Dialer{Config: encrypted}).DialContext
	case u.Query().Get("tls") == "none":
		policy, port = mail.NoTLS, relayPort
	}
	if given := u.Port(); given != "" {
		if port, err = strconv.Atoi(given); err != nil {
			return nil, errors.New("the mail server's port is not a number")
		}
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTLSPolicy(policy), mail.WithTLSConfig(encrypted), mail.WithTimeout(sendTimeout),
		mail.WithHELO(helloName(m.cfg.Host)), mail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(dialing, network, address)
			if err == nil { // go-mail leaves some connections open that failed
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err //nolint:wrapcheck // mailProblem reads it
		})}
	if password, is := u.User.Password(); is {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	made, err := mail.NewClient(u.Hostname(), options...)
	if err != nil {
		return nil, errors.New("the mail server's settings are not accepted")
	}
	return made, nil
}

// helloName is the name that the process introduces itself by.
func helloName(host string) string {
	if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "localhost"
	}
	return host
}

// mailProblem says what went wrong, without what the server wrote, which is anybody's text.
func mailProblem(target string, err error) error {
	var refused *mail.SendError
	var answered *textproto.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.ErrorCode() != 0:
		return fmt.Errorf("%s: the mail server refused the mail with %d", target, refused.ErrorCode())
	case errors.As(err, &answered):
		return fmt.Errorf("%s: the mail server answered %d before it took the mail", target, answered.Code)
	case strings.Contains(err.Error(), "STARTTLS"):
		return fmt.Errorf("%s: the mail server offers no STARTTLS", target)
	case strings.Contains(err.Error(), "AUTH"):
		return fmt.Errorf("%s: the mail server offers no way to log in that is safe here", target)
	}
	return fmt.Errorf("%s: the connection to the mail server failed: %s", target, egress.KindOf(err))
}
