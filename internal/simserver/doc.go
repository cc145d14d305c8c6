// Package simserver puts a wechattest.Platform on a port: the API under WeChat's
// own paths, a control API under /_sim/, and a page at / that lists the messages
// that arrived. "wxnotify simulate" serves it, for tests in any language. Point
// your program's WeChat address at it.
//
// # By hand
//
//	curl 'http://127.0.0.1:8090/cgi-bin/token?grant_type=client_credential&appid=wxsim0000000000001&secret=0123456789abcdef0123456789abcdef'
//	curl 'http://127.0.0.1:8090/cgi-bin/message/template/send?access_token=TOKEN' -d '{
//	  "touser": "oSIM6t0follower0000000000001", "client_msg_id": "order-1001-paid",
//	  "template_id": "sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2",
//	  "data": {"thing1": {"value": "苹果"}, "time2": {"value": "2024年5月1日 10:00"}, "amount3": {"value": "¥10.00"}}}'
//
// # The control API
//
// Calls take and return JSON. A wrong call answers 400 with {"error": "…"}. GET
// /_sim/ lists the calls. "account" is an appid, and may be left out when the
// platform has one account. A duration is a text such as "1.5s".
//
// Read:
//
//	curl '127.0.0.1:8090/_sim/seen?client_msg_id=order-1001-paid'  # {"count": 1, …}
//	curl '127.0.0.1:8090/_sim/messages?after=0&limit=100'          # next page: after = "last"
//	curl '127.0.0.1:8090/_sim/pushes?openid=oSIM1'                 # events, with answer and reply
//	curl '127.0.0.1:8090/_sim/qrcodes'                             # QR codes: ticket and scene
//	curl '127.0.0.1:8090/_sim/stats'                               # calls by path and errcode, quota, callbacks
//	curl '127.0.0.1:8090/_sim/templates'
//
// Inject faults:
//
//	curl 127.0.0.1:8090/_sim/script -d '{"replies": [{"do": "errcode", "errcode": -1, "times": 3}, {"do": "cut_after_accept"}]}'
//	curl 127.0.0.1:8090/_sim/faults -d '{"faults": [{"ratio": 0.2, "do": "cut_after_accept"}, {"ratio": 0.02, "do": "http_status", "status": 502}]}'
//	curl 127.0.0.1:8090/_sim/tokens/kill -X POST
//	curl 127.0.0.1:8090/_sim/quota -d '{"daily_limit": 1000, "used": 990}'
//	curl 127.0.0.1:8090/_sim/account -d '{"freeze": 48004}'
//
// "do" of a reply is ok, errcode (with errcode, errmsg), http_status (status),
// hang (delay), slow (delay), cut_before, cut_after_accept, cut_mid_answer or
// garbage (text). Each also takes path, openid, account, times, forever and
// accepted. POST /_sim/faults replaces the faults; an empty body removes them.
// {"clear": true} removes the scripted replies.
//
// Act as followers and as the administrator:
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
// (ticket; empty: the newest code), refuse and allow (template_id), reject
// (errcode), receipt (status), snapshot, say (text), revoke or cancellation. For
// OAuth open /connect/oauth2/authorize with the parameters in WeChat's order; the
// cookie wxsim_openid holds the visitor's openid.
package simserver
