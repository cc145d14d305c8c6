package wechat

import (
	"context"
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
	DefaultBaseURL = "https://api.weixin.qq.com"
	DefaultTimeout = 10 * time.Second
)

const (
	connectTimeout  = 3 * time.Second  // docs/wechat.md § wire behaviour
	keepAlive       = 30 * time.Second // between probes of an idle connection
	idleConnTimeout = 60 * time.Second // shorter than usual gateways, so that we close first
	idleConns       = 2048             // as many sends in flight as one process makes
)

// Config describes one account at WeChat.
type Config struct {
	// AppID is the account's appid. Required.
	AppID string
	// AppSecret is needed by TokenFetcher only.
	AppSecret Secret
	// BaseURL is the API host, with or without a path in front of WeChat's own.
	// Default https://api.weixin.qq.com. Plain http suits a simulator only,
	// since the access token travels in the query.
	BaseURL string
	// HTTPClient sends the calls. Nil: a client of this package's own with
	// keep-alive for many sends at once. Redirects are never followed, whatever
	// the client says: a redirect would carry the token to another host.
	HTTPClient *http.Client
	// Timeout bounds one call. Default 10 s; zero means the default.
	Timeout time.Duration
	// BeforeReplay is asked before a send is replayed with a new token, since
	// the replay is one more call of the day's quota. An error stops the
	// replay; the first answer is returned joined with it. Nil: always replay.
	BeforeReplay func(context.Context) error
}

// validate names every fault at once.
func (c Config) validate(needSecret bool) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("wechat: "+format, args...))
	}
	switch {
	case c.AppID == "":
		fault("Config.AppID is empty: set the account's appid, such as wx0123456789abcdef")
	case !isToken(c.AppID, 64):
		fault("Config.AppID holds other characters than letters, digits, '-' and '_', or more than 64: copy the appid from mp.weixin.qq.com")
	}
	if needSecret && c.AppSecret.IsZero() {
		fault("Config.AppSecret is empty: set the account's AppSecret")
	}
	if c.Timeout < 0 {
		fault("Config.Timeout is negative: set a positive duration, or zero for %s", DefaultTimeout)
	}
	if _, err := parseBaseURL(c.BaseURL); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// parseBaseURL fills the default in. Its errors never quote the text, which
// may hold a password by mistake.
func parseBaseURL(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultBaseURL
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("wechat: Config.BaseURL is not a URL: write it like " + DefaultBaseURL)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("wechat: Config.BaseURL must start with https:// (or http:// for a simulator)")
	case u.Hostname() == "":
		return nil, errors.New("wechat: Config.BaseURL names no host: write it like " + DefaultBaseURL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("wechat: Config.BaseURL must hold scheme, host and path only: drop user, query and fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// newHTTPClient keeps as many connections as a busy worker has sends in
// flight: net/http's default of two per host costs four fifths of the
// throughput. HTTP/1.1 only, since HTTP/2 was measured to bring nothing.
func newHTTPClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive}
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: connectTimeout,
		MaxIdleConns:        idleConns,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     idleConnTimeout,
		DisableCompression:  true, // answers are a hundred bytes
		Protocols:           protocols,
	}}
}

// withoutRedirects returns a copy of hc that hands a redirect back as it is.
func withoutRedirects(hc *http.Client) *http.Client {
	c := *hc
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// isToken reports whether text is 1 to limit of [A-Za-z0-9_-].
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
