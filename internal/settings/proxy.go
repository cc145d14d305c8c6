package settings

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// proxyURL reads the address of a proxy. Its errors show no part of it.
func proxyURL(text, _ string) (any, error) {
	if err := wechat.CheckProxy(text); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "wechat: Config.Proxy "))
	}
	return text, nil
}

// proxyVariables checks the variables of which net/http takes the proxy, since it would
// look up a part of the password as the proxy's name, and show it.
func (l *loader) proxyVariables() {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		text := l.env[name]
		if text != "" && !strings.Contains(text, "://") {
			text = "http://" + text
		}
		if _, err := proxyURL(text, ""); err != nil && strings.Contains(text, "@") && l.uses&Calling != 0 {
			l.faults = append(l.faults, fmt.Errorf("%s: %w", name, err))
		}
	}
}
