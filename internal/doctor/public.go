package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/wechat"
)

// publicCheck asks the public address as WeChat and followers do.
func publicCheck(in Installation) Check {
	base := strings.TrimRight(in.Outside, "/")
	outside := client{base, &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // WeChat follows none
	}}
	c := Check{Name: "public"}
	if base == "" {
		c.Run = func(_ context.Context, n *Notes) {
			n.Skip("not asked from outside: name the address by --public, such as --public https://notify.example.com",
				"未从外部检查：用 --public 给出地址，例如 --public https://notify.example.com")
		}
	} else {
		c.Run = func(ctx context.Context, n *Notes) { outside.checkReachable(ctx, n, in) }
		c.Then = []Check{{Name: "operators", Run: outside.checkOperators}}
		if len(in.VerifyFiles) > 0 {
			c.Then = append(c.Then, Check{Name: "verify-files", Run: func(ctx context.Context, n *Notes) { outside.checkFiles(ctx, n, in.VerifyFiles) }})
		}
	}
	for _, a := range in.Accounts {
		c.Then = append(c.Then, Check{Name: "callback-outside", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { outside.checkCallback(ctx, n, a) }})
	}
	return c
}

// client asks paths below base.
type client struct {
	base string
	http *http.Client
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 8 << 10

func (c client) ask(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", c.base, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, mask.WithoutURL(err) // the query is signed
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("the answer broke off: %w", err)
	}
	return resp.StatusCode, answer, nil
}

func (c client) checkReachable(ctx context.Context, n *Notes, in Installation) {
	const path = "/healthz"
	status, answer, err := c.ask(ctx, http.MethodGet, path, nil)
	switch {
	case err != nil:
		n.Add("public-unreachable", "url", c.base+path, "cause", causeOf(n, err, error.Error))
		n.Stop()
		return
	case status == http.StatusServiceUnavailable && string(answer) == "Redis does not answer":
		n.Add("public-no-redis", "url", c.base)
		n.Stop()
		return
	case status != http.StatusOK || strings.TrimSpace(string(answer)) != "ok":
		n.Add("public-other", "url", c.base+path, "status", strconv.Itoa(status))
		n.Stop()
		return
	}
	if setting := strings.TrimRight(in.PublicURL, "/"); setting != "" && setting != c.base {
		n.Add("public-differs", "url", c.base, "setting", setting)
	}
	n.Detail("{url} answers", "{url} 有回应", "url", c.base)
}

// checkOperators finds the operators' listener behind the public address.
func (c client) checkOperators(ctx context.Context, n *Notes) {
	const path = "/readyz"
	_, answer, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		n.Add("public-unreachable", "url", c.base+path, "cause", causeOf(n, err, error.Error))
		return
	}
	if strings.Contains(string(answer), "redis: ") {
		n.Add("public-shows-operators", "url", c.base+path)
	}
}

func (c client) checkFiles(ctx context.Context, n *Notes, files map[string][]byte) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		status, answer, err := c.ask(ctx, http.MethodGet, "/"+name, nil)
		if err != nil {
			n.Add("public-unreachable", "url", c.base+"/"+name, "cause", causeOf(n, err, error.Error))
			return
		}
		if status != http.StatusOK || !bytes.Equal(answer, files[name]) {
			n.Add("verify-file", "url", c.base+"/"+name, "status", strconv.Itoa(status))
		}
	}
}

// checkCallback posts what a callback address with the same settings refuses in a known
// way, so that nothing is taken for a push of WeChat (wechat.Callback.Probe). It counts
// as one refused call there.
func (c client) checkCallback(ctx context.Context, n *Notes, a Account) {
	path := "/callback/" + a.AppID
	if a.Callback == nil {
		n.Skip("no callback is configured", "没有配置回调")
		return
	}
	query, body, err := a.Callback.Probe(time.Now())
	if err != nil {
		n.Add("callback-fault", "cause", err.Error())
		return
	}
	status, answer, err := c.ask(ctx, http.MethodPost, path+"?"+query.Encode(), body)
	url := c.base + path
	if err != nil {
		n.Add("public-unreachable", "url", url, "cause", causeOf(n, err, error.Error))
		return
	}
	fault, refused := strings.CutPrefix(string(answer), "refused: ")
	expected := string(wechat.CallbackFaultAppID)
	if a.CallbackMode == wechat.CallbackPlain {
		expected = "forwarded"
	}
	codes := map[string]Code{
		string(wechat.CallbackFaultSignature):  "callback-token",
		string(wechat.CallbackFaultEncryption): "callback-aes-key",
		string(wechat.CallbackFaultMode):       "callback-mode",
		string(wechat.CallbackFaultStale):      "callback-stale",
	}
	switch {
	case refused && status == http.StatusForbidden && fault == expected:
		n.Detail("Token, mode {mode} and key are those of this configuration", "Token、模式 {mode} 和密钥与此配置一致", "mode", string(a.CallbackMode))
	case refused && codes[fault] != "":
		n.Add(codes[fault], "url", url, "mode", string(a.CallbackMode))
	case status == http.StatusNotFound:
		n.Add("callback-unknown", "url", url)
	default:
		n.Add("callback-other", "url", url, "status", strconv.Itoa(status), "answer", strconv.Quote(firstLine(answer)))
	}
}

// firstLine is the beginning of an answer, for a finding.
func firstLine(answer []byte) string {
	const most = 80
	line, _, _ := strings.Cut(strings.TrimSpace(string(answer)), "\n")
	if len(line) > most {
		line = line[:most]
	}
	return mask.Text(strings.ToValidUTF8(line, "?"))
}

// callbackCheck looks at our half of 消息推送配置, without a call.
func callbackCheck(a Account) Check {
	return Check{Name: "callback", Account: a.AppID, Run: func(_ context.Context, n *Notes) {
		switch {
		case a.CallbackFault != nil:
			n.Add("callback-fault", "cause", a.CallbackFault.Error())
		case a.Callback == nil:
			n.Add("callback-missing")
		default:
			n.Detail("mode {mode}", "模式 {mode}", "mode", string(a.CallbackMode))
		}
	}}
}

// linksCheck looks for what enrolment links need.
func linksCheck(in Installation) Check {
	return Check{Name: "links", Run: func(_ context.Context, n *Notes) {
		for _, name := range in.LinksMissing {
			n.Add("links-missing", "missing", name)
		}
	}}
}
