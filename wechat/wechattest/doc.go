// Package wechattest is WeChat's platform, simulated, the way net/http/httptest
// is a server.
package wechattest
