// Package wechattest is WeChat's platform for official accounts, simulated, the
// way net/http/httptest is a server: tokens with their eras, template messages
// with every rule, quotas, receipts, OAuth, and the faults of a real network.
// What it cannot know, since WeChat does not document it, is a setting.
//
// # In a Go test
//
// A zero Config is one account where everybody is a follower:
//
//	p := wechattest.New(wechattest.Config{})
//	defer p.Close()
//	cfg := wechat.Config{
//		AppID: wechattest.AppID, AppSecret: wechat.NewSecret(wechattest.AppSecret),
//		BaseURL: p.BaseURL(), HTTPClient: p.Client(),
//	}
//
// Client reaches the platform over net.Pipe: real HTTP/1.1 connections without a
// socket, which can be cut and work in a bubble of testing/synctest, where a day
// of quota passes in a moment. Make the platform inside the bubble. On a socket
// it is an http.Handler like any other:
//
//	server := httptest.NewServer(p)
//
// # What did the recipients see?
//
// Errcode 0 says that WeChat took a message; Seen says what stands in the chats
// after dedupe. Exactly once means that SeenCount is 1:
//
//	if n := p.SeenCount(clientMsgID); n != 1 {
//		t.Errorf("seen %d times", n)
//	}
//
// Calls counts what was asked, by path and errcode, and TokenFetches the tokens
// handed out.
//
// # Things go wrong
//
// A script reads as the story of the test. Each send takes the next reply; then
// the platform's own answers follow:
//
//	p.Script(
//		wechattest.Errcode(-1),
//		wechattest.HTTPStatus(502),
//		wechattest.Hang(time.Minute),
//		wechattest.CutAfterAccept(), // the recipient sees it, the caller gets EOF
//	)
//
// On, For and Account aim a reply at a path, a recipient, an account; Accepted
// lets the call take effect before the fault. Fault mixes replies in at random,
// the same mix for the same Config.Seed:
//
//	p.Fault(0.20, wechattest.CutAfterAccept())
//	p.Fault(0.05, wechattest.Errcode(-1))
//
// KillTokens ends all tokens, RefuseStableToken makes WeChat hand out a token
// that it refuses. An Account has the rest: Unfollow, Refuse, Reject, Freeze,
// DeleteTemplate, SetSecret, SetAllowedIPs, SetDailyQuota, SetUsed.
//
// # Receipts and events
//
// With a CallbackConfig the platform pushes TEMPLATESENDJOBFINISH to the
// account's server, in plain, compat or secure mode, late, twice, never, before
// the answer to the send, with MsgID 0, with WeChat's timeout of 5 s and three
// tries. Subscribe, Unsubscribe, Scan and Say do what a follower does, with the
// event; RevokeAuthorization and CancelAuthorization end a user's consent;
// VerifyCallback does what the console does when the server is configured. Pushes
// lists what was pushed, with the server's answer and its passive reply in the
// clear.
//
// # From any language
//
// "wxnotify simulate" serves a Platform on a port: the API under WeChat's own
// paths, a page at / that lists what arrived, and a control API. Point your
// program's WeChat address at it. By hand:
//
//	curl 'http://127.0.0.1:8090/cgi-bin/token?grant_type=client_credential&appid=wxsim0000000000001&secret=0123456789abcdef0123456789abcdef'
//	curl 'http://127.0.0.1:8090/cgi-bin/message/template/send?access_token=TOKEN' -d '{
//	  "touser": "oSIM6t0follower0000000000001", "client_msg_id": "order-1001-paid",
//	  "template_id": "sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2",
//	  "data": {"thing1": {"value": "苹果"}, "time2": {"value": "2024年5月1日 10:00"}, "amount3": {"value": "¥10.00"}}}'
//
// The control API under /_sim/ takes and returns JSON; a wrong call answers 400
// with {"error": "…"}, and GET /_sim/ lists the calls. "account" is an appid, and
// may be left out when the platform has one account. Durations are texts such as
// "1.5s".
//
// Ask:
//
//	curl 'http://127.0.0.1:8090/_sim/seen?client_msg_id=order-1001-paid'   # {"count": 1, …}
//	curl 'http://127.0.0.1:8090/_sim/messages?after=0&limit=100'           # go on with after = "last"
//	curl 'http://127.0.0.1:8090/_sim/qrcodes'                              # parametric QR codes: ticket and scene
//	curl 'http://127.0.0.1:8090/_sim/pushes?openid=oSIM1'                  # events to the callback, with answer and reply
//	curl 'http://127.0.0.1:8090/_sim/stats'                                # calls by path and errcode, quota, callbacks
//	curl 'http://127.0.0.1:8090/_sim/templates'
//
// Break:
//
//	curl 127.0.0.1:8090/_sim/script -d '{"replies": [{"do": "errcode", "errcode": -1, "times": 3}, {"do": "cut_after_accept"}]}'
//	curl 127.0.0.1:8090/_sim/faults -d '{"faults": [{"ratio": 0.2, "do": "cut_after_accept"}, {"ratio": 0.02, "do": "http_status", "status": 502}]}'
//	curl 127.0.0.1:8090/_sim/tokens/kill -X POST
//	curl 127.0.0.1:8090/_sim/quota -d '{"daily_limit": 1000, "used": 990}'
//	curl 127.0.0.1:8090/_sim/account -d '{"freeze": 48004}'
//
// "do" of a reply is ok, errcode (with errcode, errmsg), http_status (status),
// hang (delay), slow (delay), cut_before, cut_after_accept, cut_mid_answer or
// garbage (text); beside it may stand path, openid, account, times, forever and
// accepted. POST /_sim/faults replaces the mix, an empty one ends it;
// {"clear": true} empties the script.
//
// Live:
//
//	curl 127.0.0.1:8090/_sim/followers -d '{"openids": ["oSIM1"], "do": "unfollow"}'
//	curl 127.0.0.1:8090/_sim/followers -d '{"openids": ["oSIM1"], "do": "say", "text": "TD"}'
//	curl 127.0.0.1:8090/_sim/templates -d '{"add": [{"template_id": "T1", "title": "预约提醒", "content": "时间:{{time1.DATA}}"}]}'
//	curl 127.0.0.1:8090/_sim/callback -d '{"url": "http://127.0.0.1:8080/callback/wxsim0000000000001", "token": "…", "delay": "1s"}'
//	curl 127.0.0.1:8090/_sim/callback/verify -X POST
//	curl 127.0.0.1:8090/_sim/oauth/code -d '{"openid": "oSIM1", "scope": "snsapi_base"}'
//	curl 127.0.0.1:8090/_sim/reset -X POST
//
// "do" of followers is follow, unfollow, subscribe (scene), unsubscribe, scan
// (ticket; the newest code when there is none), refuse and allow (template_id), reject (errcode), receipt (status),
// snapshot, say (text), revoke or cancellation. Send people to /connect/oauth2/authorize with the parameters in
// WeChat's order; the cookie wxsim_openid says who they are.
package wechattest
