package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// explain makes one sentence, with the likely cause and the remedy, of a failed check.
func (s *Server) explain(ctx context.Context, err error) error {
	if found, ok := errors.AsType[verdict](err); ok {
		return errors.New("redis" + s.at() + " " + string(found))
	}
	said := s.byAnswer(err)
	if said == "" {
		said = s.byHandshake(err)
	}
	if _, answered := errors.AsType[redis.Error](err); said == "" && answered {
		said = "refuses: look at its configuration, and at WXNOTIFY_REDIS_URL"
	}
	if said == "" {
		said, err = s.byConnection(ctx, err)
	}
	return fmt.Errorf("redis%s %s (%s)", s.at(), said, s.masked(shortest(err).Error()))
}

// at names the address of the last attempt; with Sentinel and in a cluster it is one of
// several.
func (s *Server) at() string {
	if addr := s.dialed.Load(); addr != nil {
		return " at " + *addr
	}
	return ""
}

// masked hides a text that repeats a part of a password: Redis repeats the beginning of a
// command that it does not know.
func (s *Server) masked(text string) string {
	for _, secret := range []string{s.options.Password, s.options.SentinelPassword} {
		part := min(4, len(secret))
		for i := 0; part > 0 && i+part <= len(secret); i++ {
			if strings.Contains(text, secret[i:i+part]) {
				return "the answer repeats what was sent and is [redacted]"
			}
		}
	}
	return text
}

// shortest is the innermost error, without what the layers above it add.
func shortest(err error) error {
	for {
		inner := errors.Unwrap(err)
		var several interface{ Unwrap() []error }
		if inner == nil && errors.As(err, &several) && len(several.Unwrap()) > 0 {
			inner = several.Unwrap()[0]
		}
		var op *net.OpError
		if inner == nil || errors.As(err, &op) && !errors.As(inner, &op) {
			return err
		}
		err = inner
	}
}

// answers are the beginnings of what a server says, and what to do.
func answers() [][2]string {
	return [][2]string{
		{"WRONGPASS", "refuses the user or the password: correct them in WXNOTIFY_REDIS_URL, with special characters percent-encoded"},
		{"NOAUTH", "demands a password: write redis://user:password@host:6379/0 in WXNOTIFY_REDIS_URL, without user for requirepass"},
		{"AUTH <password> called without", "has no password, but WXNOTIFY_REDIS_URL has one: remove it there, or set requirepass on the server"},
		{"Client sent AUTH, but no password", "has no password, but WXNOTIFY_REDIS_URL has one: remove it there, or set requirepass on the server"},
		{"DENIED", "is in protected mode, in which it serves its own machine only: set a password and bind on the server, " +
			"and the password in WXNOTIFY_REDIS_URL"},
		{"DB index is out of range", "has no database of that number: use a number below the server's setting databases in WXNOTIFY_REDIS_URL, such as /0"},
		{"invalid DB index", "has no database of that number: use /0 in WXNOTIFY_REDIS_URL"},
		{"SELECT is not allowed in cluster mode", "is a node of a cluster: write redis-cluster://host:6379 in WXNOTIFY_REDIS_URL"},
		{"This instance has cluster support disabled", "is no cluster: write redis:// instead of redis-cluster:// in WXNOTIFY_REDIS_URL"},
		{"CLUSTERDOWN", "is a cluster that does not serve every slot: look at CLUSTER INFO on the server"},
		{"READONLY", "is a read-only replica: write the primary's address, or redis-sentinel:// with its Sentinels, in WXNOTIFY_REDIS_URL"},
		{"MASTERDOWN", "is a replica that has lost its primary: write the primary's address in WXNOTIFY_REDIS_URL"},
		{"LOADING", "is still loading its data: start wxnotify again when it has finished"},
		{"BUSY", "is busy with another client's script: look for it there, SCRIPT KILL ends it"},
		{"max number of clients reached", "has no free connection: raise its setting maxclients, or end other clients"},
		{"NOREPLICAS", "has too few replicas and refuses writes: see its setting min-replicas-to-write"},
	}
}

// byAnswer explains what the server itself said.
func (s *Server) byAnswer(err error) string {
	sentinels := strings.Contains(err.Error(), "all sentinels specified in configuration are unreachable")
	switch text := err.Error(); {
	case sentinels && errors.Is(err, redis.Nil):
		return "is a Sentinel that knows no primary of that name: correct ?master= in WXNOTIFY_REDIS_URL; SENTINEL MASTERS lists the names"
	case sentinels && (strings.Contains(text, "NOAUTH") || strings.Contains(text, "WRONGPASS")):
		return "is a Sentinel that demands another password than Redis: add &sentinel_password= to WXNOTIFY_REDIS_URL, or correct it"
	case sentinels && strings.Contains(strings.ToLower(text), "unknown command"):
		return "is no Sentinel: write the address of a Sentinel (26379) in WXNOTIFY_REDIS_URL, or redis:// for a single server"
	}
	for _, row := range answers() {
		if redis.HasErrorPrefix(err, row[0]) { // without "ERR "
			return row[1]
		}
	}
	if m := unknownCommand.FindStringSubmatch(err.Error()); m != nil {
		return noCommand(strings.ToUpper(m[1]))
	}
	return ""
}

// unknownCommand matches the answer of a server to a command that was renamed.
var unknownCommand = regexp.MustCompile("(?i)unknown command ['`]([a-z]+)['`]")

func noCommand(names string) string {
	return "has no command " + names + ": it was renamed or removed there, or a proxy lacks it; give it back its name (docs/redis.md)"
}

// byHandshake explains a server that speaks TLS, but not with us.
func (s *Server) byHandshake(err error) string {
	text := err.Error()
	if _, own := errors.AsType[x509.UnknownAuthorityError](err); own {
		return "has a certificate of an authority that this machine does not know: name the authority's PEM file in WXNOTIFY_REDIS_CA_FILE"
	}
	if name, wrong := errors.AsType[x509.HostnameError](err); wrong {
		return "has a certificate of another name than " + name.Host + ": write the name in the certificate in WXNOTIFY_REDIS_SERVER_NAME"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "has a certificate that is out of date: renew it, and look at the clocks of both machines"
	}
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return "has a certificate that is not accepted: see WXNOTIFY_REDIS_CA_FILE and WXNOTIFY_REDIS_SERVER_NAME"
	}
	switch {
	case strings.Contains(text, "tls: certificate required"), !s.mutual && strings.Contains(text, "remote error: tls: "):
		return "demands a client certificate: set WXNOTIFY_REDIS_CERT_FILE and WXNOTIFY_REDIS_KEY_FILE (tls-auth-clients on the server)"
	case strings.Contains(text, "remote error: tls: "):
		return "refuses the client certificate of WXNOTIFY_REDIS_CERT_FILE: use one of an authority that the server knows (tls-ca-cert-file there)"
	case strings.Contains(text, "WXNOTIFY_REDIS_CERT_FILE"):
		return "got no client certificate: mend the files"
	}
	return ""
}

// byConnection explains a server that did not answer as Redis does. It returns the cause,
// too: what the server says to a new connection is more than that the connection broke.
func (s *Server) byConnection(ctx context.Context, err error) (said string, cause error) {
	addr := s.dialed.Load()
	if addr == nil {
		return "is not asked", err
	}
	if said := s.unreached(err); said != "" {
		return said, err
	}
	kind, line := speaks(ctx, s, *addr)
	for _, row := range answers() {
		if line = strings.TrimPrefix(line, "-"); row[0] != "NOAUTH" && strings.HasPrefix(strings.TrimPrefix(line, "ERR "), row[0]) {
			return row[1], errors.New(line)
		}
	}
	return s.byKind(kind, err), err
}

// unreached explains an address without a server, empty when there is one.
func (s *Server) unreached(err error) string {
	var failed *dialError
	reached := !errors.As(err, &failed) || failed.handshake
	var dns *net.DNSError
	switch {
	case !reached && s.named(failed.addr):
		return silentPrimary
	case errors.As(err, &dns):
		return "is not found: no address of this name is known; correct the host in WXNOTIFY_REDIS_URL"
	case !reached && errors.Is(err, os.ErrPermission):
		return "may not be opened: give this user access to the socket, or correct the path in WXNOTIFY_REDIS_URL"
	case !reached && s.scheme == "unix":
		return "has no server behind the socket: start it with unixsocket, or correct the path in WXNOTIFY_REDIS_URL"
	case !reached && isTimeout(err):
		return "does not answer: the machine is off or unknown, or a firewall drops the packets; correct the host in WXNOTIFY_REDIS_URL"
	case !reached:
		return "is not reachable: start it, or correct host and port in WXNOTIFY_REDIS_URL"
	}
	return ""
}

// silentPrimary is what to do where the URL is right.
const silentPrimary = "is the primary that Sentinel names, and does not answer: wait for the fail-over to end, or look at that server"

// named reports whether addr is Sentinel's word, and does not stand in the URL.
func (s *Server) named(addr string) bool {
	return s.scheme == "redis-sentinel" && !slices.Contains(s.options.Addrs, addr)
}

// byKind explains a server by what it speaks.
func (s *Server) byKind(kind string, err error) string {
	encrypted := s.options.TLSConfig != nil
	switch {
	case kind == "redis" && encrypted:
		return "speaks no TLS: write redis:// instead of rediss:// (or remove tls=true) in WXNOTIFY_REDIS_URL, or set tls-port on the server"
	case kind == "redis" && !isTimeout(err):
		return "closed the connection: look at its log"
	case kind == "http":
		return "is a web server and no Redis: correct host and port in WXNOTIFY_REDIS_URL"
	case kind == "other":
		return "is another program and no Redis: correct host and port in WXNOTIFY_REDIS_URL"
	case kind == "tls" && !encrypted:
		return "speaks TLS: write rediss:// instead of redis:// (or add tls=true) in WXNOTIFY_REDIS_URL"
	case kind == "certificate" && !s.mutual:
		return "demands a client certificate: set WXNOTIFY_REDIS_CERT_FILE and WXNOTIFY_REDIS_KEY_FILE (tls-auth-clients on the server)"
	case kind == "certificate":
		return "refuses the client certificate of WXNOTIFY_REDIS_CERT_FILE: use one of an authority that the server knows (tls-ca-cert-file there)"
	case isTimeout(err) && s.named(*s.dialed.Load()):
		return silentPrimary
	case isTimeout(err):
		return "accepts connections and does not answer: it is stopped, overloaded, or no Redis; look at it, or correct WXNOTIFY_REDIS_URL"
	}
	return "closed the connection without an answer: it is no Redis, or refuses this machine; correct WXNOTIFY_REDIS_URL"
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// speakTime bounds each of the two connections of speaks.
const speakTime = 350 * time.Millisecond

// speaks finds out what answers at addr: redis, http, tls, certificate (TLS, and another
// client certificate is demanded), other, or nothing (empty). line is the first line that
// it said in plain.
func speaks(ctx context.Context, s *Server, addr string) (kind, line string) {
	network := "tcp"
	if s.scheme == "unix" {
		network = "unix"
	}
	open := func() net.Conn {
		conn, err := (&net.Dialer{Timeout: speakTime}).DialContext(ctx, network, addr)
		if err != nil {
			return nil
		}
		_ = conn.SetDeadline(time.Now().Add(speakTime))
		return conn
	}
	if conn := open(); conn != nil {
		defer func() { _ = conn.Close() }()
		if kind, line = speaksPlain(conn); kind != "" {
			return kind, line
		}
	}
	conn := open()
	if conn == nil {
		return "", ""
	}
	defer func() { _ = conn.Close() }()
	return s.speaksTLS(ctx, conn, addr), ""
}

func speaksPlain(conn net.Conn) (kind, line string) {
	_, _ = io.WriteString(conn, "PING\r\n\r\n")
	answer := make([]byte, 128)
	n, _ := conn.Read(answer)
	line, _, _ = strings.Cut(string(answer[:n]), "\r\n")
	switch {
	case n == 0, answer[0] == 0x15, answer[0] == 0x16: // nothing, or a TLS alert
		return "", ""
	case line == "+PONG", answer[0] == '-':
		return "redis", line
	case strings.HasPrefix(line, "HTTP/"):
		return "http", ""
	}
	return "other", ""
}

// speaksTLS waits for the server's word on the client certificate, which comes after the
// handshake.
func (s *Server) speaksTLS(ctx context.Context, conn net.Conn, addr string) string {
	encrypted, err := s.handshake(ctx, conn, addr)
	shaken := err == nil
	if shaken {
		_, err = encrypted.Read(make([]byte, 1))
		if isTimeout(err) {
			return "tls"
		}
	}
	var refused *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused), err == nil:
		return "tls"
	case strings.Contains(err.Error(), "certificate required"), strings.Contains(err.Error(), "bad certificate"),
		strings.Contains(err.Error(), "unknown certificate authority"), strings.Contains(err.Error(), "error decrypting message"):
		return "certificate"
	case strings.Contains(err.Error(), "remote error: tls"), shaken && errors.Is(err, io.EOF):
		return "tls"
	}
	return ""
}
