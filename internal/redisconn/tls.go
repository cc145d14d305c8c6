package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/wxnotify/wxnotify/internal/textfile"
)

// tlsConfig is nil for a connection without TLS. There is no way to skip the check
// of the server's certificate: CAFile trusts an own authority.
func tlsConfig(cfg Config, encrypted bool) (*tls.Config, error) {
	if !encrypted {
		for name, value := range map[string]string{
			"WXNOTIFY_REDIS_CA_FILE": cfg.CAFile, "WXNOTIFY_REDIS_CERT_FILE": cfg.CertFile,
			"WXNOTIFY_REDIS_KEY_FILE": cfg.KeyFile, "WXNOTIFY_REDIS_SERVER_NAME": cfg.ServerName,
		} {
			if value != "" {
				return nil, errors.New(name + " is set, but the connection has no TLS: write rediss://, or add ?tls=true for Sentinel and clusters")
			}
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		pem, err := textfile.Read(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("WXNOTIFY_REDIS_CA_FILE cannot be read: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("WXNOTIFY_REDIS_CA_FILE holds no certificate: it must be a PEM file with BEGIN CERTIFICATE")
		}
	}
	switch {
	case cfg.CertFile == "" && cfg.KeyFile == "":
		return c, nil
	case cfg.CertFile == "":
		return nil, errors.New("WXNOTIFY_REDIS_CERT_FILE is missing: WXNOTIFY_REDIS_KEY_FILE is the key of a certificate")
	case cfg.KeyFile == "":
		return nil, errors.New("WXNOTIFY_REDIS_KEY_FILE is missing: WXNOTIFY_REDIS_CERT_FILE needs its key")
	}
	// Read again for each connection, so that a renewed certificate needs no restart.
	load := func() (*tls.Certificate, error) {
		cert, errCert := textfile.Read(cfg.CertFile)
		key, errKey := textfile.Read(cfg.KeyFile)
		if err := errors.Join(errCert, errKey); err != nil {
			return nil, fmt.Errorf("WXNOTIFY_REDIS_CERT_FILE or WXNOTIFY_REDIS_KEY_FILE cannot be read: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("WXNOTIFY_REDIS_CERT_FILE and WXNOTIFY_REDIS_KEY_FILE are no pair: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return c, nil
}

// dialError is a connection that did not come about.
type dialError struct {
	addr      string
	handshake bool // the server was reached, TLS was not agreed on
	err       error
}

func (e *dialError) Error() string {
	if e.handshake {
		return "TLS with " + e.addr + ": " + e.err.Error()
	}
	return e.err.Error() // names the address
}

func (e *dialError) Unwrap() error { return e.err }

// dial is go-redis' own dialer, but that it ends with ctx and says how far it came.
func (s *Server) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.dialed.Store(&addr)
	d := &net.Dialer{
		Timeout:         s.options.DialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &dialError{addr: addr, err: err}
	}
	if s.options.TLSConfig == nil {
		return conn, nil
	}
	encrypted, err := s.handshake(ctx, conn, addr)
	if err != nil {
		_ = conn.Close()
		return nil, &dialError{addr: addr, handshake: true, err: err}
	}
	return encrypted, nil
}

func (s *Server) handshake(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	cfg := s.options.TLSConfig
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	encrypted := tls.Client(conn, cfg)
	return encrypted, encrypted.HandshakeContext(ctx) //nolint:wrapcheck // its callers say what failed
}
