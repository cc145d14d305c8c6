package wechattest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	openid       = "oSIM6t0follower0000000000001"
	quotaGetPath = "/cgi-bin/openapi/quota/get"
)

// bench is a platform with a caller that has a token.
type bench struct {
	*testing.T
	p     *wechattest.Platform
	a     *wechattest.Account
	token string
}

// setup makes a platform for the test and closes it at the end.
func setup(t *testing.T, cfg wechattest.Config) *bench {
	t.Helper()
	p := wechattest.New(cfg)
	t.Cleanup(p.Close)
	b := &bench{T: t, p: p, a: p.Accounts()[0]}
	b.token = b.fetchStable(false).str("access_token")
	return b
}

// reply is a decoded answer.
type reply map[string]any

func (r reply) code() wechat.Code {
	n, _ := r["errcode"].(json.Number)
	i, _ := n.Int64()
	return wechat.Code(i)
}

func (r reply) str(key string) string { s, _ := r[key].(string); return s }
func (r reply) msg() string           { return r.str("errmsg") }

func (r reply) num(key string) int64 {
	n, _ := r[key].(json.Number)
	i, _ := n.Int64()
	return i
}

// do makes a request and returns the body. err is the client's.
func (b *bench) do(method, path string, query url.Values, body string) (*http.Response, []byte, error) {
	b.Helper()
	target := b.p.BaseURL() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(b.Context(), method, target, strings.NewReader(body))
	must(b, err)
	resp, err := b.p.Client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, text, err
}

// call makes a request that must be answered with JSON.
func (b *bench) call(method, path string, query url.Values, body string) reply {
	b.Helper()
	resp, text, err := b.do(method, path, query, body)
	if err != nil {
		b.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("%s %s: status %d: %s", method, path, resp.StatusCode, text)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var r reply
	if err := d.Decode(&r); err != nil {
		b.Fatalf("%s %s: answer is not JSON: %v: %s", method, path, err, text)
	}
	return r
}

// post calls an API path with the token.
func (b *bench) post(path, body string) reply {
	b.Helper()
	return b.call(http.MethodPost, path, url.Values{"access_token": {b.token}}, body)
}

// get calls an API path with the token and more parameters in pairs.
func (b *bench) get(path string, pairs ...string) reply {
	b.Helper()
	q := url.Values{"access_token": {b.token}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return b.call(http.MethodGet, path, q, "")
}

func (b *bench) send(body string) reply {
	b.Helper()
	return b.post(wechattest.SendPath, body)
}

func (b *bench) fetchClassic() reply {
	b.Helper()
	return b.call(http.MethodGet, wechattest.TokenPath, url.Values{
		"grant_type": {"client_credential"}, "appid": {wechattest.AppID}, "secret": {wechattest.AppSecret},
	}, "")
}

func (b *bench) fetchStable(force bool) reply {
	b.Helper()
	body, err := json.Marshal(map[string]any{
		"grant_type": "client_credential", "appid": wechattest.AppID, "secret": wechattest.AppSecret, "force_refresh": force,
	})
	must(b, err)
	return b.call(http.MethodPost, wechattest.StableTokenPath, nil, string(body))
}

// order is the body of a message that the platform accepts.
func order(to, id string) string {
	return `{"touser":"` + to + `","template_id":"` + wechattest.TemplateOrderPaid + `","client_msg_id":"` + id +
		`","data":{"thing1":{"value":"红富士苹果 & <梨>"},"time2":{"value":"2024年5月1日 10:00"},"amount3":{"value":"¥10.00"}}}`
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
