// Package tokenstore shares one access token between processes through Redis.
//
// WeChat gives an account one access token at a time, valid for two hours. In
// classic mode each fetch supersedes the token before, so processes must not fetch
// on their own. One process fetches the token and stores it in Redis; all use it.
//
// # Make a store
//
// A Store decorates a Fetcher, usually *wechat.TokenFetcher, and is the
// wechat.TokenSource of a *wechat.Client:
//
//	fetcher, err := wechat.NewTokenFetcher(account)
//	tokens, err := tokenstore.New(rdb, fetcher, tokenstore.Config{AppID: account.AppID})
//	client, err := wechat.NewClient(account, tokens)
//
// # Refresh ahead
//
// Run fetches the next token before the old one expires, so that no send waits:
//
//	go tokens.Run(ctx)
//
// Every process runs it. A lease in Redis lets one of them fetch; the others use
// the old token until then. Each lease has a generation, the number of the token to
// be fetched, above all numbers given out before. A process that stalls beyond its
// lease has a lower generation than its successor and overwrites no newer token.
//
// # Send
//
// Token returns the token in memory: a send costs no Redis call. The memory follows
// Redis by notices (with Run), and by a read in the background every Config.Reread.
//
// # When WeChat refuses a token
//
// The client calls Invalidate with the refused token. If it has been replaced
// already, nothing happens. Otherwise the next Token fetches. In Stable mode WeChat
// may return the token that it refuses; only then a forced refresh follows, at most
// 20 a day and 30 s apart, counted in Redis. Fetches caused by refusals are at least
// Config.RefusedGap apart over all processes, and at most one a minute in the long
// run. If a token is refused within 250 ms of its fetch the gap doubles, up to 5
// minutes.
//
// Repeated refusals of fresh tokens in Classic mode are a token war: another system
// fetches tokens of this account. State.War and EventWar report it.
//
// # When a token leaked
//
// Revoke makes two forced refreshes, 31 s apart: WeChat's pages say that a leaked token
// needs two of them, 30 s apart or more. They count among the day's 20.
//
// # When there is no token
//
// A failed fetch (wrong secret, WeChat down) is recorded in Redis, and no process asks
// WeChat before the back-off is over: 1, 2, 4 … seconds, up to 1 minute for temporary
// causes, 10 minutes for the secret; otherwise as long as WeChat's documentation says.
// Until then Token returns an *UnavailableError at once, with the cause, the remedy and
// the time of the next attempt.
//
// If WeChat refuses the address of the process (40164, 61004, 45035), the back-off holds
// only for processes whose address was refused too: all of them together ask once a
// minute in the long run. A process of a listed address fetches at once, for all.
//
// # When Redis is unavailable
//
// A token in memory stays in use until it expires. Nothing is fetched without the
// shared lease: each process would fetch its own token, and in classic mode each
// fetch would supersede the others. A process without a token returns ErrRedis.
//
// # When Redis loses its data or its clock is set
//
// A token in memory stays in use until it expires or is refused; then the process
// takes the one in Redis, whatever its generation. A process remembers which
// generation it saw refused and never compares it by order, so a refusal cannot
// affect tokens fetched after the loss. Times in Redis that only make sense if its
// clock was set back (a token fetched over a minute in the future) are ignored: the
// token is fetched again and no hold or back-off outlasts its length.
//
// # What is stored in Redis
//
// The keys are wxn:{appid}:token, and the same with the suffixes :lease, :gen,
// :backoff, :count and :war; each has a TTL, 30 days at most. The first one holds the
// token in plain text: anyone who can read this Redis can send messages for the
// account, so protect it like the AppSecret, which is not stored. Times are on Redis'
// clock; the clocks of the processes are not compared. No text of this package
// (errors, events, state) holds a token or a secret, only fingerprints.
package tokenstore
