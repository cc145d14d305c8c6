package wechattest

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ClientFrom returns a client like Client whose calls come from the address ip, such
// as "203.0.113.7". Those of Client come from 127.0.0.1.
func (p *Platform) ClientFrom(ip string) *http.Client {
	defer p.locked()()
	return p.newLoopback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = net.JoinHostPort(ip, "443")
		p.ServeHTTP(w, r)
	})).Client()
}

// SetAllowedIPs changes the account's IP list; see AccountConfig.AllowedIPs. None
// allows all.
func (a *Account) SetAllowedIPs(ips ...string) {
	defer a.p.locked()()
	a.cfg.AllowedIPs = ips
}

// ParseIPCheck reads "tokens" or "all".
func ParseIPCheck(text string) (IPCheck, error) {
	switch text {
	case "tokens":
		return IPCheckTokens, nil
	case "all":
		return IPCheckAll, nil
	}
	return 0, fmt.Errorf("%q is not one of tokens, all", text)
}

// SetIPCheck changes which calls check the IP list.
func (a *Account) SetIPCheck(check IPCheck) {
	defer a.p.locked()()
	a.cfg.IPCheck = check
}

// checkIP refuses a caller whom the account's IP list does not have. The lock is held.
func (c *call) checkIP() answer {
	cfg, ip := c.account.cfg, c.ip()
	if len(cfg.AllowedIPs) == 0 || listed(cfg.AllowedIPs, ip) {
		return answer{}
	}
	text := "access clientip is not registered, requestIP:" + ip
	if cfg.IPRefusal == 40164 {
		text = "invalid ip " + ip + " ipv6 " + mapped(ip) + ", not in whitelist"
	}
	return answer{code: cfg.IPRefusal, text: text}
}

// listed reports whether list has ip, itself or in a range.
func listed(list []string, ip string) bool {
	addr, err := netip.ParseAddr(ip)
	for _, entry := range list {
		if entry == ip {
			return true
		}
		if prefix, bad := netip.ParsePrefix(entry); bad == nil && err == nil && prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// ip is the caller's address. A call without a socket comes from 127.0.0.1.
func (c *call) ip() string {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		return "127.0.0.1"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return host
}

// mapped is the IPv6 form of an address in errmsg 40164.
func mapped(ip string) string {
	if strings.Contains(ip, ":") {
		return ip
	}
	return "::ffff:" + ip
}
