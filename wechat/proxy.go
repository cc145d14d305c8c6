package wechat

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// CheckProxy reports what is wrong with the text of Config.Proxy, nil for an empty
// one. The error shows no part of the text.
func CheckProxy(text string) error {
	_, err := parseProxy(text)
	return err
}

// parseProxy returns nil for an empty text.
func parseProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no proxy
	}
	const form = "write it like http://user:password@proxy.example:3128"
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errors.New("wechat: Config.Proxy is not a URL: " + form)
	}
	// What stands before the cut would be a part of the password, and not a host.
	if _, tail, cut := cutAny(rest, "/?#"); cut && strings.Contains(tail, "@") {
		return nil, errors.New("wechat: Config.Proxy has an @ behind a /, ? or #: percent-encode user and password (/ is %2F, ? is %3F, # is %23, @ is %40)")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("wechat: Config.Proxy is not a URL: " + form + ", with special characters of the password percent-encoded")
	}
	_, errPort := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		return nil, errors.New("wechat: Config.Proxy has an unknown scheme: use http, https, socks5 or socks5h")
	case u.Hostname() == "":
		return nil, errors.New("wechat: Config.Proxy has no host: " + form)
	case u.Port() != "" && errPort != nil:
		return nil, errors.New("wechat: Config.Proxy has a port that is no number up to 65535: " + form)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("wechat: Config.Proxy must have scheme, user, password, host and port only: " + form)
	}
	return u, nil
}

// cutAny is strings.Cut at the first of several characters.
func cutAny(text, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return text[:i], text[i:], true
	}
	return text, "", false
}

// useProxy sends the client's calls through the proxy, those to the loopback
// interface too. Without one HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide.
func useProxy(transport *http.Transport, proxy *url.URL) {
	transport.Proxy = http.ProxyFromEnvironment
	if proxy != nil {
		transport.Proxy = http.ProxyURL(proxy)
	}
}
