// Package wechattest simulates WeChat's platform for official accounts, for
// tests, as net/http/httptest does for servers: access tokens, template messages
// with WeChat's checks, quotas, receipts and other events, OAuth, and network
// faults. What WeChat does not document is a setting.
//
// # Start a platform
//
// A zero Config is one account where every openid is a follower:
//
//	p := wechattest.New(wechattest.Config{})
//	defer p.Close()
//	cfg := wechat.Config{
//		AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret),
//		BaseURL: p.BaseURL(), HTTPClient: p.Client(),
//	}
//
// Client reaches the platform over net.Pipe, which works in a bubble of
// testing/synctest. On a socket, use the platform as an http.Handler:
//
//	server := httptest.NewServer(p)
//
// For other languages, "wxnotify simulate" serves a platform with a control API,
// see docs/simulator.md.
//
// # Check what recipients saw
//
// Errcode 0 says that WeChat accepted a message. Seen has the messages in the
// recipients' chats, after deduplication; SeenCount is 1 for exactly once:
//
//	if n := p.SeenCount(clientMsgID); n != 1 {
//		t.Errorf("seen %d times", n)
//	}
//
// Calls counts the calls by path and errcode, TokenFetches the tokens returned.
//
// # Inject faults
//
// Each send takes the next reply of the script. After the last one the platform
// answers by its own rules:
//
//	p.Script(
//		wechattest.Errcode(-1),
//		wechattest.HTTPStatus(502),
//		wechattest.Hang(time.Minute),
//		wechattest.CutAfterAccept(), // the recipient sees it, the caller gets EOF
//	)
//
// Reply.On, For and Account restrict a reply to a path, a recipient, an account.
// Fault gives a reply to a random share of the calls, repeatable by Config.Seed:
//
//	p.Fault(0.20, wechattest.CutAfterAccept())
//
// Methods of Account change the account: Unfollow, Refuse, Reject, Freeze,
// DeleteTemplate, SetSecret, SetAllowedIPs, SetDailyQuota, SetUsed, KillTokens.
//
// # Receive events
//
// With a CallbackConfig the platform pushes a receipt for each accepted message to
// the account's server, in plain, compat or secure mode. Subscribe, Unsubscribe,
// Scan and Say are a follower's actions with their events. Pushes lists the
// events with the server's answers.
package wechattest
