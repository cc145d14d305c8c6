package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/testutil"
)

// Certificates are PEM files of an own authority and of what it signed. The server's
// certificate is for 127.0.0.1, the address of a Server, and redis.test.
type Certificates struct{ CA, Cert, Key, ClientCert, ClientKey string }

// NewCertificates writes them into a directory of the test.
func NewCertificates(tb testing.TB) Certificates {
	tb.Helper()
	dir := tb.TempDir()
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := newKey(tb)
	sign := func(name string, template *x509.Certificate, key *ecdsa.PrivateKey) (certFile, keyFile string) {
		der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
		if err != nil {
			tb.Fatal(err)
		}
		keyDER, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			tb.Fatal(err)
		}
		return writePEM(tb, dir, name+".crt", "CERTIFICATE", der), writePEM(tb, dir, name+".key", "EC PRIVATE KEY", keyDER)
	}
	leaf := func(serial int64, name string, usage x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
			DNSNames: []string{"redis.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(testutil.Host(tb))},
		}
	}
	var c Certificates
	c.CA, _ = sign("ca", ca, caKey)
	c.Cert, c.Key = sign("server", leaf(2, "server", x509.ExtKeyUsageServerAuth), newKey(tb))
	c.ClientCert, c.ClientKey = sign("client", leaf(3, "client", x509.ExtKeyUsageClientAuth), newKey(tb))
	return c
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func writePEM(tb testing.TB, dir, name, kind string, der []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// StartTLS runs a redis-server that speaks TLS only. It demands a client certificate
// when mutual is set.
func StartTLS(tb testing.TB, c Certificates, mutual bool, args ...string) *Server {
	tb.Helper()
	demand := "no"
	if mutual {
		demand = "yes"
	}
	s := Start(tb, append([]string{
		"--tls-port", "PORT", "--port", "0", "--tls-cert-file", c.Cert, "--tls-key-file", c.Key, "--tls-ca-cert-file", c.CA, "--tls-auth-clients", demand,
	}, args...)...)
	return s
}

// StartSentinel runs a Sentinel that knows primary under a name, until the test ends.
func StartSentinel(tb testing.TB, primary *Server, name string, lines ...string) *Server {
	tb.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	lines = append([]string{"sentinel monitor " + name + " " + host + " " + port + " 1"}, lines...)
	text := strings.Join(lines, "\n") + "\n"
	path := filepath.Join(tb.TempDir(), "sentinel.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return Start(tb, path, "--sentinel")
}
