package wechattest

import "net/http"

// CallbackConfig is the server configuration of an account (服务器配置).
type CallbackConfig struct {
	// URL receives the events. Empty and no Handler: none are sent.
	URL string
	// Handler receives the events in place of URL's host, without a socket.
	Handler http.Handler
}
