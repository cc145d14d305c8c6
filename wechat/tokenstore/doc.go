// Package tokenstore keeps one access token for the whole fleet in Redis.
//
// WeChat hands out one access token per account, good for two hours. A fleet in
// which every process fetches its own pays for it: in classic mode each fetch
// kills the token of all the others. So the token lies in Redis, one process
// fetches it, and all use it.
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
// # Keep it warm
//
// Run fetches the next token before the old one ends, so that no send waits:
//
//	go tokens.Run(ctx)
//
// Every process runs it. A lease in Redis, with its owner's name, lets one of
// them fetch; the others go on with the old token. Each lease comes with a
// generation that only grows. A process that stalls past its lease comes home
// with an old generation, and what it brings overwrites nothing newer.
//
// # Send
//
// Token answers from the process's memory: a send costs no Redis call. The
// memory follows Redis by notice (with Run) and by a look every Config.Reread,
// beside a send and not in its way.
//
// # When WeChat refuses a token
//
// The client calls Invalidate with the token that was refused. The store
// compares first: when the fleet has another token by now, nothing happens.
// Otherwise the next Token fetches. In Stable mode WeChat may hand out the very
// token that it refuses; only then a forced refresh follows, at most 20 a day
// and 30 s apart, counted in Redis. Fetches that refusals cause are at least
// Config.RefusedGap apart in the whole fleet and at most one a minute in the
// long run; for tokens refused the moment they are fetched the gap doubles, up
// to 5 minutes.
//
// In Classic mode, fresh tokens refused again and again are a token war:
// another system fetches tokens of this account. State.War and EventWar say so.
//
// # When there is no token
//
// After a failed fetch (wrong secret, address not on the whitelist, WeChat
// down) a record in Redis keeps the whole fleet from asking before the step is
// over: 1, 2, 4 … seconds, up to 1 minute for what may pass by itself, 5 minutes
// for the whitelist, 10 for the secret; as long as WeChat says for the rest.
// Token then returns an *UnavailableError at once, with the cause, the remedy
// and the moment of the next try, and recovers by itself.
//
// # When Redis is away
//
// A token in a process's memory stays in use until it expires. Nothing is
// fetched without the shared lease, though: that would be a fetch per process,
// and in classic mode a war of the fleet against itself. A process without a
// token says so with ErrRedis.
//
// # What lies in Redis
//
// The keys are wxn:{appid}:token and, with the suffixes :lease, :gen, :backoff,
// :count and :war, what belongs to it; each has a TTL, 30 days at most. The
// token itself lies in the first one in the clear: whoever reads this Redis can
// send in the account's name, so guard it like the AppSecret, which is never
// there. Times are Redis' own; the clocks of the processes are not compared. No
// text of this package (errors, events, state) holds a token or a secret, only
// fingerprints.
package tokenstore
