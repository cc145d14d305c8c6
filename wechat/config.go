package wechat

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	defaultBaseURL = "https://api.weixin.qq.com"
	defaultTimeout = 10 * time.Second
)

const (
	connectTimeout  = 3 * time.Second  // docs/wechat.md § wire behaviour
	keepAlive       = 30 * time.Second // between TCP keep-alive probes
	idleConnTimeout = 60 * time.Second // shorter than that of usual gateways, so that we close first
	idleConns       = 2048             // the most sends in flight of one process
)

// Config describes one account at WeChat.
type Config struct {
	// AppID is the account's appid. Required.
	AppID string
	// AppSecret is needed by TokenFetcher only.
	AppSecret Secret
	// BaseURL is the API host, optionally with a path before WeChat's own. Empty:
	// https://api.weixin.qq.com. Use http:// for a simulator only: the access
	// token is in the query.
	BaseURL string
	// HTTPClient's Transport makes the calls, and its Timeout, when shorter than
	// Timeout, limits them. Redirects are never followed, since they would send
	// the token to another host. Nil: a client that keeps connections for many
	// concurrent sends.
	HTTPClient *http.Client
	// Proxy is the URL of the proxy of all calls, such as
	// http://user:password@proxy.example:3128; the schemes are http, https, socks5 and
	// socks5h. Reserved characters of user and password are percent-encoded. Errors do
	// not show it. Empty: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. It may not be
	// set together with HTTPClient.
	Proxy Secret
	// Timeout limits one call. Zero: 10 s.
	Timeout time.Duration
}

func (c Config) validate(needSecret bool) error {
	var faults configFaults
	faults.check(isToken(c.AppID, 64), "Config.AppID is not an appid: copy it from 开发信息 on developers.weixin.qq.com/platform, such as wx0123456789abcdef")
	faults.check(!needSecret || !c.AppSecret.IsZero(), "Config.AppSecret is empty: set the account's AppSecret")
	faults.check(c.Timeout >= 0, "Config.Timeout is negative: set a positive duration, or zero for %s", defaultTimeout)
	faults.check(c.Proxy.IsZero() || c.HTTPClient == nil, "Config.Proxy and Config.HTTPClient are both set: set the proxy in the client's Transport")
	_, err := parseBaseURL(c.BaseURL)
	return errors.Join(append(faults, err, CheckProxy(c.Proxy.Reveal()))...)
}

// configFaults collects all faults of a configuration, for errors.Join.
type configFaults []error

// check adds an error unless ok.
func (f *configFaults) check(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf("wechat: "+format, args...))
	}
}

// parseBaseURL parses Config.BaseURL. Its errors never quote the text, which may
// hold a password by mistake.
func parseBaseURL(text string) (*url.URL, error) {
	if text == "" {
		text = defaultBaseURL
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("wechat: Config.BaseURL is not a URL: write it like " + defaultBaseURL)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("wechat: Config.BaseURL must start with https:// (or http:// for a simulator)")
	case u.Hostname() == "":
		return nil, errors.New("wechat: Config.BaseURL has no host: write it like " + defaultBaseURL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(text, "@"): // a user may be cut at a /
		return nil, errors.New("wechat: Config.BaseURL must have scheme, host and path only: remove user, query and fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// NewTransport makes calls as this package does without Config.HTTPClient, for other
// calls to the same host. proxy is as Config.Proxy: the zero value stands for what
// HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. The error shows no part of it.
func NewTransport(proxy Secret) (*http.Transport, error) {
	u, err := parseProxy(proxy.Reveal())
	if err != nil {
		return nil, err
	}
	return newTransport(u), nil
}

// newTransport keeps a connection for each send in flight. With net/http's
// default of two kept per host, throughput was measured at a fifth. It uses
// HTTP/1.1 only: HTTP/2 was measured to be no faster.
func newTransport(proxy *url.URL) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: connectTimeout,
		MaxIdleConns:        idleConns,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     idleConnTimeout,
		DisableCompression:  true, // answers are a hundred bytes
		Protocols:           protocols,
	}
	useProxy(transport, proxy)
	return transport
}

// isToken reports whether text is 1 to limit characters of [A-Za-z0-9_-].
func isToken(text string, limit int) bool {
	if text == "" || len(text) > limit {
		return false
	}
	for i := range len(text) {
		switch b := text[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}
