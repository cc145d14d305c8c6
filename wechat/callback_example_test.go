package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// plainCallback is an account's callback in plain mode.
func plainCallback() *wechat.Callback {
	callback, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: "wx0123456789abcdef", Mode: wechat.CallbackPlain,
		Tokens: []wechat.RotatingSecret{{Value: wechat.NewSecret("TokenOf0message0push0settings")}},
	})
	if err != nil {
		panic(err)
	}
	return callback
}

const followed = `<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>
<FromUserName><![CDATA[oia2TjuEGTNoeX76QEjQNrcURxG8]]></FromUserName><CreateTime>1395658920</CreateTime>
<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[qrscene_bind-1001]]></EventKey></xml>`

func ExampleNewCallback() {
	_, err := wechat.NewCallback(wechat.CallbackConfig{AppID: "wx0123456789abcdef", Mode: wechat.CallbackSecure})
	fmt.Println(err)
	// Output:
	// wechat: CallbackConfig.Tokens is empty: set the Token of 消息推送配置
	// wechat: CallbackConfig.AESKeys is empty, and mode secure needs one: set the EncodingAESKey of 消息推送配置
}

func ExampleCallback_Echo() {
	callback := plainCallback()
	query := callback.Sign("", time.Now()) // as WeChat would
	query.Set("echostr", "4375120948345356249")
	fmt.Println(callback.Echo(query))
	// Output: 4375120948345356249 <nil>
}

func ExampleCallback_Open() {
	callback := plainCallback()
	query := callback.Sign("oia2TjuEGTNoeX76QEjQNrcURxG8", time.Now()) // as WeChat would
	push, err := callback.Open(query, []byte(followed))
	if err != nil {
		fmt.Println(err)
		return
	}
	if push.Event.Is(wechat.EventSubscribe) {
		fmt.Println(wechat.MaskOpenID(push.Event.OpenID), "came by", push.Event.Scene())
	}

	_, err = callback.Open(callback.Sign("", time.Now().Add(-time.Hour)), []byte(followed))
	var refused *wechat.CallbackError
	if errors.As(err, &refused) {
		fmt.Println(refused.Fault)
		fmt.Println(refused.Fault.Remedy())
	}
	// Output:
	// oia2…G8 came by bind-1001
	// stale
	// Set this machine's clock by NTP; when it is right, the call repeats an old query.
}

// A server in secure mode that answers what a follower writes.
func ExampleCallback_Seal() {
	const key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	callback, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID: wechattest.AppID, Mode: wechat.CallbackSecure,
		Tokens:  []wechat.RotatingSecret{{Value: wechat.NewSecret("token")}},
		AESKeys: []wechat.RotatingSecret{{Value: wechat.NewSecret(key)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		push, err := callback.Open(r.URL.Query(), body)
		if err != nil {
			http.Error(w, "refused", http.StatusForbidden)
			return
		}
		answer, err := callback.Seal(push, []byte("<xml><Content>"+push.Event.Content+" yourself</Content></xml>"))
		if err != nil {
			answer = []byte("success")
		}
		_, _ = w.Write(answer)
	})
	platform := wechattest.New(wechattest.Config{Accounts: []wechattest.AccountConfig{{
		AppID: wechattest.AppID,
		Callback: wechattest.CallbackConfig{
			Handler: server, Mode: wechattest.CallbackSecure, Token: wechat.NewSecret("token"), EncodingAESKey: wechat.NewSecret(key),
		},
	}}})
	defer platform.Close()
	platform.Account(wechattest.AppID).Say("oSIM6t0follower0000000000001", "hello")
	for platform.PushCounts().Waiting > 0 {
		runtime.Gosched()
	}
	fmt.Println(platform.Pushes()[0].Reply)
	// Output: <xml><Content>hello yourself</Content></xml>
}

func ExampleCallback_Sign() {
	callback := plainCallback()
	query := callback.Sign("oia2TjuEGTNoeX76QEjQNrcURxG8", time.Unix(1714037059, 0))
	fmt.Println(query.Get("timestamp"), len(query.Get("nonce")), len(query.Get("signature")), query.Get("openid"))
	// Output: 1714037059 10 40 oia2TjuEGTNoeX76QEjQNrcURxG8
}

func ExampleParseEvent() {
	event, err := wechat.ParseEvent([]byte(followed))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.Name, event.CreatedAt.UTC().Format(time.DateTime), event.Scene())
	_, err = wechat.ParseEvent([]byte(`<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml>&a;</xml>`))
	fmt.Println(err)
	// Output:
	// subscribe 2014-03-24 11:02:00 bind-1001
	// wechat: the document has a DTD, an entity or an instruction, which WeChat does not use
}

func ExampleEvent_DedupeKey() {
	once, _ := wechat.ParseEvent([]byte(followed))
	again, _ := wechat.ParseEvent([]byte(followed))
	fmt.Println(once.DedupeKey() == again.DedupeKey())
	// Output: true
}

func ExampleAuthorize_Link() {
	link, err := wechat.Authorize{
		AppID: "wx0123456789abcdef", RedirectURI: "https://h5.example.com/back", State: "f00d",
	}.Link()
	fmt.Println(link, err)
	_, err = wechat.Authorize{AppID: "wx0123456789abcdef", RedirectURI: "https://h5.example.com/back", State: "f_d"}.Link()
	fmt.Println(err)
	// Output:
	// https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx0123456789abcdef&redirect_uri=https%3A%2F%2Fh5.example.com%2Fback&response_type=code&scope=snsapi_base&state=f00d#wechat_redirect <nil>
	// wechat: Authorize.State has characters other than letters and digits, which WeChat refuses: encode it as hex
}

// authorizing is a platform with the client that asks it who users are.
func authorizing() (*wechattest.Platform, *wechat.OAuth) {
	platform := wechattest.New(wechattest.Config{})
	oauth, err := wechat.NewOAuth(wechat.Config{
		AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret),
		BaseURL: platform.BaseURL(), HTTPClient: platform.Client(),
	})
	if err != nil {
		panic(err)
	}
	return platform, oauth
}

func ExampleOAuth_Exchange() {
	platform, oauth := authorizing()
	defer platform.Close()
	code := platform.Account(wechattest.AppID).OAuthCode("oSIM6t0follower0000000000001", wechat.ScopeBase)
	user, err := oauth.Exchange(context.Background(), wechat.NewSecret(code))
	fmt.Println(wechat.MaskOpenID(user.OpenID), user.Snapshot, user.AccessToken, err)
	_, err = oauth.Exchange(context.Background(), wechat.NewSecret(code))
	var answer *wechat.Error
	if errors.As(err, &answer) {
		fmt.Println(answer.Code.Name(), "–", answer.Remedy())
	}
	// Output:
	// oSIM…01 false [redacted] <nil>
	// code-used – Start the authorization again: this code has been used.
}

func ExampleOAuth_Profile() {
	platform, oauth := authorizing()
	defer platform.Close()
	code := platform.Account(wechattest.AppID).OAuthCode("oSIM6t0follower0000000000001", wechat.ScopeUserInfo)
	user, err := oauth.Exchange(context.Background(), wechat.NewSecret(code))
	if err != nil {
		fmt.Println(err)
		return
	}
	profile, err := oauth.Profile(context.Background(), user)
	fmt.Println(profile.Nickname, err)
	// Output: 微信用户 <nil>
}

func ExampleOAuth_Refresh() {
	platform, oauth := authorizing()
	defer platform.Close()
	code := platform.Account(wechattest.AppID).OAuthCode("oSIM6t0follower0000000000001", wechat.ScopeBase)
	user, err := oauth.Exchange(context.Background(), wechat.NewSecret(code))
	if err != nil {
		fmt.Println(err)
		return
	}
	fresh, err := oauth.Refresh(context.Background(), user.RefreshToken)
	fmt.Println(fresh.OpenID == user.OpenID, err)
	// Output: true <nil>
}

func ExampleOAuth_Check() {
	platform, oauth := authorizing()
	defer platform.Close()
	err := oauth.Check(context.Background(), wechat.UserToken{AccessToken: wechat.NewSecret("none of WeChat's"), OpenID: "o1"})
	code, _ := wechat.CodeOf(err)
	fmt.Println(code.Name(), wechat.KindOf(err))
	// Output: invalid-credential management
}

func ExampleClient_CreateQR() {
	client, stop := simulated(`{"ticket":"gQH47joAAA","expire_seconds":600,"url":"https://weixin.qq.com/q/kZgfwMTm72WWPkovabbI"}`)
	defer stop()
	code, err := client.CreateQR(context.Background(), "bind-1001", 10*time.Minute)
	fmt.Println(code.URL, time.Until(code.ExpiresAt).Round(time.Minute), err)
	// Output: https://weixin.qq.com/q/kZgfwMTm72WWPkovabbI 10m0s <nil>
}
