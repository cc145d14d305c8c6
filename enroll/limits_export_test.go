package enroll

import (
	"net/http"
	"net/netip"
)

// ClientOf is the address that a request counts under.
func ClientOf(r *http.Request, proxies ...netip.Prefix) string {
	return newLimits(proxies, 0).client(r)
}
