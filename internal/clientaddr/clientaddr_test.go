package clientaddr_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/wxnotify/wxnotify/internal/clientaddr"
)

func TestClientAddressComesFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	proxies := clientaddr.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for name, tt := range map[string]struct{ remote, forwarded, want string }{
		"no proxy":                     {"203.0.113.7:41000", "", "203.0.113.7"},
		"a client that makes it up":    {"203.0.113.7:41000", "198.51.100.1", "203.0.113.7"},
		"a proxy":                      {"10.0.0.1:41000", "203.0.113.7", "203.0.113.7"},
		"a proxy, header made up":      {"10.0.0.1:41000", "198.51.100.1, 203.0.113.7", "203.0.113.7"},
		"two proxies":                  {"10.0.0.1:41000", "198.51.100.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"},
		"a proxy without a header":     {"10.0.0.1:41000", "", "10.0.0.1"},
		"a proxy, no address":          {"10.0.0.1:41000", "unknown", "10.0.0.1"},
		"a proxy, an address and junk": {"10.0.0.1:41000", "203.0.113.7, junk", "10.0.0.1"},
		"with a port":                  {"10.0.0.1:41000", "203.0.113.7:52000", "203.0.113.7"},
		"only proxies":                 {"10.0.0.1:41000", "10.1.1.1, 10.2.2.2", "10.1.1.1"},
		"IPv4 in IPv6":                 {"[::ffff:10.0.0.1]:41000", "::ffff:203.0.113.7", "203.0.113.7"},
		"IPv6 counts by its network":   {"[2001:db8:2:3:4:5:6:7]:41000", "", "2001:db8:2:3::/64"},
		"an IPv6 proxy":                {"[2001:db8:1::1]:41000", "[2001:db8:2:3::9]:52000", "2001:db8:2:3::/64"},
		"a zone":                       {"[fe80::1%eth0]:41000", "", "fe80::/64"},
		"a unix socket":                {"@", "203.0.113.7", "invalid IP"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = tt.remote
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := proxies.Network(r); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
