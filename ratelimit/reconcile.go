package ratelimit

import (
	"context"
	"errors"
	"fmt"
)

// Unknown is what Reconcile takes when WeChat could not say.
const Unknown int64 = -1

// ErrStale is returned by Reconcile for an answer, and by Close for a refused
// call, that tells nothing about the gate as it is now. Nothing was corrected or
// closed.
var ErrStale = errors.New("of another day, or older than what is known")

// Question is a question to WeChat for the day's quota: the moment at which it is
// asked, and so its day, by Redis' clock.
type Question struct{ asked int64 }

// AskQuota begins a question: call it, ask WeChat, and pass its answer to
// Reconcile. When a call was refused with 45009 or the count went missing, wait a
// few seconds before: WeChat's count must have the calls under way.
func (g *Gate) AskQuota(ctx context.Context) (Question, error) {
	in, err := g.runScript(ctx, "state")
	if err != nil {
		return Question{}, err
	}
	return Question{asked: in.int("now")}, in.err
}

// Reconcile corrects the day's count by WeChat's own: limit and used are the
// answer of openapi/quota/get for the send's path (docs: 查询 openAPI 调用quota)
// to the question q. A higher count is taken over, plus our permits that may have
// reached WeChat after its answer. Ours is lowered only to WeChat's plus all
// permits whose send may not have ended plus 1 % of the cap, the precision of
// WeChat's figures. A missing count starts from WeChat's plus those permits. A
// limit below Config.DailyQuota binds; 0 means that WeChat names none. What
// remains lifts ReasonRefused, no other pause.
//
// The day's quota counts as used up, whatever WeChat says, for an hour after the
// second ReasonRefused within an hour, and for an hour after the first one while
// less than 2 % of the limit remains, but not longer than the day.
//
// The error is ErrStale, and the answer is not used except for its limit, when
// the day has turned since the question, when q was asked in the first minute of
// a day (WeChat may still tell the count of the day before), more than 30 s ago,
// before the question of an answer that was used, or before lost writes were
// found and 2 s after: ask again in a minute. A missing count stays missing then,
// but in the first minute of a day it starts as with Unknown.
//
// Pass [Unknown] for both when WeChat could not say; q may be zero then. A missing
// count starts from the permits whose send may not have ended, and errcode 45009
// is the guard.
func (g *Gate) Reconcile(ctx context.Context, q Question, limit, used int64) error {
	in, err := g.runScript(ctx, "reconcile", "asked", q.asked, "limit", limit, "told", used)
	if err != nil {
		return err
	}
	version, stale := in.int("version"), in.int("stale") == 1
	g.mu.Lock()
	if version > g.version {
		g.version, g.granted = version, 0
	}
	g.notify()
	g.mu.Unlock()
	if stale {
		return fmt.Errorf("ratelimit: reconcile: WeChat's answer is %w", ErrStale)
	}
	return in.err
}
