package wechattest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// post sends one message to the platform and prints the errcode or the error.
func post(p *wechattest.Platform, id string) {
	target := p.BaseURL() + wechattest.SendPath + "?access_token=" + p.Account(wechattest.AppID).FetchToken().Reveal()
	resp, err := p.Client().Post(target, "application/json", strings.NewReader(order("oSIM1", id))) //nolint:noctx // as short as an example should be
	if err != nil {
		fmt.Println(id, "no answer")
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	text, _, _ := strings.Cut(string(body), ",")
	fmt.Println(id, resp.StatusCode, strings.TrimSpace(text))
}

func Example() {
	p := wechattest.New(wechattest.Config{})
	defer p.Close()
	post(p, "order-1001-paid")
	for _, m := range p.Seen() {
		fmt.Println(m.OpenID, "sees", m.ClientMsgID)
	}
	// Output:
	// order-1001-paid 200 {"errcode":0
	// oSIM1 sees order-1001-paid
}

func ExamplePlatform_Script() {
	p := wechattest.New(wechattest.Config{})
	defer p.Close()
	p.Script(wechattest.Errcode(-1), wechattest.CutAfterAccept())
	for range 3 {
		post(p, "order-1001-paid")
	}
	fmt.Println("seen", p.SeenCount("order-1001-paid"), "time")
	// Output:
	// order-1001-paid 200 {"errcode":-1
	// order-1001-paid no answer
	// order-1001-paid 200 {"errcode":0
	// seen 1 time
}

func ExamplePlatform_Fault() {
	p := wechattest.New(wechattest.Config{Seed: 1})
	defer p.Close()
	p.Fault(0.5, wechattest.Errcode(45011))
	for i := range 4 {
		post(p, fmt.Sprint("m", i))
	}
	fmt.Println(p.Calls(wechattest.SendPath).ByCode[45011], "of 4 refused")
	// Output:
	// m0 200 {"errcode":45011
	// m1 200 {"errcode":0
	// m2 200 {"errcode":0
	// m3 200 {"errcode":0
	// 1 of 4 refused
}

func ExampleAccount_Unfollow() {
	p := wechattest.New(wechattest.Config{})
	defer p.Close()
	p.Account(wechattest.AppID).Unfollow("oSIM1")
	post(p, "m1")
	// Output: m1 200 {"errcode":43004
}

func ExampleAccount_SetCallback() {
	p := wechattest.New(wechattest.Config{})
	defer p.Close()
	server := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println("receipt:", strings.Contains(string(body), "<Status><![CDATA[success]]></Status>"))
	})
	p.Account(wechattest.AppID).SetCallback(wechattest.CallbackConfig{
		Handler: server, Token: wechat.NewSecret("token"), BeforeAnswer: true,
	})
	post(p, "m1")
	// Output:
	// receipt: true
	// m1 200 {"errcode":0
}
