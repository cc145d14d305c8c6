// Package wechat is a client for WeChat Official Accounts: it calls the server API
// for template messages and their management, access tokens, QR codes and web
// authorization, and it verifies and decrypts WeChat's pushes. It uses the
// standard library, and internal/mask, which does too.
//
// # Send a message
//
//	fetcher, err := wechat.NewTokenFetcher(cfg)
//	client, err := wechat.NewClient(cfg, wechat.ReuseTokenSource(fetcher.FetchStable))
//	if err := message.Validate(); err != nil { … } // all faults at once
//	msgid, err := client.SendTemplate(ctx, message)
//
// A [Client] makes one HTTP call for each method call. It repeats a call only when
// WeChat refused its token: once, with another token and the same body.
//
// # Handle errors
//
// [KindOf] is what WeChat's answer means for a sender, [CodeOf] the errcode, and
// [Ambiguous] whether WeChat may have accepted the message in spite of the error.
// The types are [*Error] for an answer with an errcode, [*TransportError] for no
// answer, [*TokenError] for no token, [*TokenRefusedError] for two refused tokens,
// and [*InvalidError] for a message refused without a call. No error text has a
// secret, a token or a whole openid. docs/errors.md lists all codes; it is
// generated from this package's tables.
//
// # Receive pushes
//
// A [Callback] verifies and decrypts requests of WeChat's server. It serves no
// HTTP: give it the query and the body.
//
//	callback, err := wechat.NewCallback(wechat.CallbackConfig{AppID: …, Mode: wechat.CallbackSecure, Tokens: …, AESKeys: …})
//	echo, err := callback.Echo(r.URL.Query())       // GET, when the configuration is saved
//	err = callback.CheckQuery(r.URL.Query())        // POST: before the body is read
//	push, err := callback.Open(r.URL.Query(), body) // push.Event, verified
//	answer, err := callback.Seal(push, reply)       // or answer "success"
//
// Requests in another mode and old queries are refused with a [*CallbackError]. One
// that has a Push is WeChat's all the same and only cannot be read: acknowledge it.
// Tokens and keys can overlap while they are rotated. To handle a push once,
// remember Push.Nonce for the query and Push.Digest for the document.
//
// # Identify users
//
// [Authorize] makes the link of the authorization page, an [OAuth] exchanges the
// code of the redirect. A code is valid once: after any error, start again.
//
//	link, err := wechat.Authorize{AppID: …, RedirectURI: …, State: …}.Link()
//	user, err := oauth.Exchange(ctx, wechat.NewSecret(code))
//	if user.Snapshot { … } // a virtual user: never bind it
//
// With a QR code, [Client.CreateQR] makes a code whose scene is Event.Scene of the
// scan.
//
// # Share the token
//
// A [TokenSource] returns the access token. [ReuseTokenSource] keeps it in one
// process; package tokenstore shares it through Redis.
//
// # Use more of the API
//
// wxnotify itself does not use all of this package. Also for your own programs are
// [OAuth.Refresh] and [OAuth.Check], [ParseTemplateMessage], [CheckJSON],
// [TemplateMessage.ValidateFor], [TemplateMessage.Warnings],
// [TemplateMessage.Preview], [ReuseTokenSource], [StaticToken] and the constants
// of [Code].
package wechat

//go:generate go test -run ^TestErrorsDoc$ -update .
