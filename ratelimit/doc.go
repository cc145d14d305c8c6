// Package ratelimit is the gate before the fetch: rate, daily quota, reserve and
// pause, shared by all processes through Redis and granted in blocks of permits.
//
// # Make a gate
//
// One [Gate] per account and process; all gates of one Key share one state.
//
//	gate, err := ratelimit.New(rdb, ratelimit.Config{
//		Key: "wxn:{wx0123456789abcdef}:", Owner: "worker-1",
//		Rate: 50, DailyQuota: 100000, Reserve: 0.02, UTCOffset: 8 * time.Hour,
//	})
//	go gate.Run(ctx)
//
// # Reconcile it with WeChat
//
// A gate without a count (first start, Redis flushed or back without its last
// writes, two idle days) grants nothing: Take returns a [ClosedError] with
// [ReasonUnreconciled] until WeChat's own count is known. To start from zero
// would be a guess that costs a day's quota.
//
//	question, err := gate.AskQuota(ctx)
//	limit, used := … // WeChat's openapi/quota/get
//	err = gate.Reconcile(ctx, question, limit, used)
//
// # Take, send, report
//
//	changed := gate.Changed() // before Take, so that no change is missed
//	permit, err := gate.Take(ctx, ratelimit.General)
//	// closed: wait for changed or closed.Until; granted: wait for permit.At,
//	// fetch and send, or gate.Return(permit) when there was nothing to send, when
//	// changed is closed, or when permit.Expired.
//
// [Gate.Close] stops all processes for a reason, [Gate.Open] lifts it,
// [Gate.Succeed] reports to a half-open gate that WeChat accepts again.
//
// # What is counted
//
// A permit counts from the moment it is booked: before the send, so that a crash
// can only lose quota, never overdraw it. WeChat does not say whether refused
// calls count (docs: 接口调用频次限制), so every call that may have reached it
// counts: errcode 43004, 40001, 47003, HTTP 5xx, a timeout after the request was
// written. Return a permit only when the request certainly did not reach WeChat:
// no message was fetched, the message was refused before the call, the dial failed.
//
// # The day
//
// Everything belongs to one quota day, and on another it is void: a question and
// its answer, a booking, a permit and its return, a refusal, and the distrust of
// WeChat's count that follows refusals. Slots of the last second of a day are
// moved behind midnight and count there, and no call begins in it with a permit of
// the old day, since it may arrive after midnight.
//
// # The rate
//
// With rate r the slots lie 1/r apart. The script keeps the time of the next
// free slot (TAT of GCRA) and books k slots from max(TAT, now − 25 ms) on, so in
// any window of t seconds at most 1 + 0.025·r + r·t permits fall due. A permit
// may be used until one second after its slot; then it is returned.
//
//	k = min(want, r/2, MaxBlock) · (1 − a/2), at least 1
//
// where a is how many seconds TAT is ahead already. With P processes that all
// want more, each books again after its own block, so a = (P−1)·k/r: blocks
// shrink as processes join, no process is more than about 2 s ahead, and a call
// yields k permits: 0.04 calls per permit for one process at 50/s, 0.01 at 200/s
// and more. want starts at 8, doubles while blocks are used up and halves when a
// permit expires, so an idle process books one at a time.
//
// After a pause that probed, a day that began with a backlog, or a refusal, the
// rate ramps: r/16, doubling each second. Errcode 45011 halves the rate, which
// comes back by a tenth of r each minute. Without a Rate the ramp starts at 16/s
// and is over after ten seconds, and there is nothing to halve.
//
// # The quota
//
// The cap is the lower of DailyQuota and WeChat's own limit: the console's
// figure binds, ours may only be stricter. General stops at cap − ⌈Reserve·cap⌉,
// Reserved at the cap; within 16·k of the end k = ⌈left/16⌉, so that no process
// holds the last permits.
//
// Every block has a lease that ends 60 to 70 s after its last slot. A killed
// worker's block stays counted until its lease has ended; then Reconcile lowers
// the count. Calls of another system that are fewer than our permits under lease
// are seen by a later question: WeChat's figure does not tell the two apart.
//
// The count has a version, which each day and each correction raises. A process
// that knows a later version or a later booking of its own than Redis does proves
// that Redis lost its last writes: the count is then missing for all processes.
//
// # Keys
//
// <Key>gate is a hash, kept 48 h after the last booking or the longest pause (ten
// years while one lasts until Open); <Key>gate:leases a zset of at most 8 members per
// process, kept until a minute after the last lease; <Key>gate:events a channel.
// Key carries a hash tag, so that both are in one cluster slot.
package ratelimit
