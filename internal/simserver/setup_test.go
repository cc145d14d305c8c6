package simserver_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/simserver"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	openid = "oSIM6t0follower0000000000001"
	aesKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// bench is a served platform and a caller with an access token.
type bench struct {
	*testing.T
	p      *wechattest.Platform
	a      *wechattest.Account
	server http.Handler
	token  string
}

func setup(t *testing.T, cfg wechattest.Config) *bench {
	t.Helper()
	p := wechattest.New(cfg)
	t.Cleanup(p.Close)
	b := &bench{T: t, p: p, a: p.Accounts()[0], server: simserver.New(p, "127.0.0.1:8090")}
	b.token = b.a.FetchToken().Reveal()
	return b
}

// do makes a request of the server. header are names and values in turn.
func (b *bench) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(b.Context(), method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8090"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	return w
}

// object is a decoded JSON object.
type object map[string]any

func (o object) str(key string) string { s, _ := o[key].(string); return s }
func (o object) num(key string) int64  { f, _ := o[key].(float64); return int64(f) }
func (o object) get(key string) object { m, _ := o[key].(map[string]any); return m }
func (o object) list(key string) (l []object) {
	items, _ := o[key].([]any)
	for _, item := range items {
		l = append(l, item.(map[string]any))
	}
	return l
}

// control makes a control call that must succeed.
func (b *bench) control(method, path, body string) object {
	b.Helper()
	w := b.do(method, "/_sim/"+path, body)
	var o object
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || w.Code != http.StatusOK {
		b.Fatalf("%s %s: status %d, %s", method, path, w.Code, w.Body)
	}
	return o
}

// order is the body of a message that the platform accepts.
func order(to, id string) string {
	return `{"touser":"` + to + `","template_id":"` + wechattest.TemplateOrderPaid + `","client_msg_id":"` + id +
		`","data":{"thing1":{"value":"红富士苹果 & <梨>"},"time2":{"value":"2024年5月1日 10:00"},"amount3":{"value":"¥10.00"}}}`
}

// send sends a message and returns the errcode.
func (b *bench) send(body string) wechat.Code {
	var o struct{ Errcode wechat.Code }
	_ = json.Unmarshal(b.do("POST", wechattest.SendPath+"?access_token="+b.token, body).Body.Bytes(), &o)
	return o.Errcode
}

// outcome sends a message over a connection and returns the errcode, the HTTP
// status, or "cut".
func (b *bench) outcome(to string) string {
	b.Helper()
	link := wechattest.NewLoopback(b.server)
	defer link.Close()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.p.BaseURL()+wechattest.SendPath+"?access_token="+b.token, strings.NewReader(order(to, "")))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := link.Client().Do(r)
	if err != nil {
		return "cut"
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "cut in the answer"
	}
	var o struct{ Errcode *wechat.Code }
	if json.Unmarshal(text, &o) != nil || o.Errcode == nil {
		return strconv.Itoa(resp.StatusCode) + " " + string(text)
	}
	return strconv.Itoa(int(*o.Errcode))
}
