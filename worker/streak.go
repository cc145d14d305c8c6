package worker

import (
	"fmt"
	"sync"

	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// sameCodeStreak finds a fault of the account that WeChat reports as one of a recipient:
// the same errcode for many different recipients in a row.
type sameCodeStreak struct {
	mu   sync.Mutex
	code wechat.Code
	seen map[string]struct{} // recipients, at most the limit of the code
}

// streakLimit is how many recipients in a row make it the account's trouble; zero:
// never.
func streakLimit(code wechat.Code) int {
	switch {
	case code == wechat.CodeUserLimited: // may mean that the account is limited
		return 3
	case code == wechat.CodeInvalidOpenID: // openids of another account: a wrong appid
		return 50
	case code.Kind() == wechat.KindUnknown && code != 0:
		return 20
	default:
		return 0
	}
}

func (a *sameCodeStreak) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code, a.seen = 0, nil
}

// note counts an answer and returns the hold that it asks for, if any.
func (a *sameCodeStreak) note(code wechat.Code, openid string) Hold {
	limit := streakLimit(code)
	a.mu.Lock()
	defer a.mu.Unlock()
	if code != a.code || limit == 0 {
		a.code, a.seen = code, nil
	}
	if limit == 0 {
		return Hold{}
	}
	if a.seen == nil {
		a.seen = make(map[string]struct{}, limit)
	}
	if len(a.seen) < limit {
		a.seen[openid] = struct{}{}
	}
	if len(a.seen) < limit {
		return Hold{}
	}
	h := Hold{
		Reason: ratelimit.ReasonAccount, Wait: accountWait(code),
		Detail: fmt.Sprintf("errcode %d for %d recipients in a row: %s", code, limit, code.Remedy()),
	}
	if code == wechat.CodeInvalidOpenID {
		// A list of bad openids must not stop the account for good: sending goes on
		// after the pause, and the count begins again.
		h.Timed, h.Wait, a.seen = true, openidPause, nil
		h.Detail += " Is this the appid that the openids belong to?"
	}
	return h
}
