package wechattest

import (
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// counter counts the calls of one API in the current day and minute.
type counter struct {
	day, used       int64
	minute, current int64
}

// defaultLimits are the calls a day that an account may make (docs: 接口调用频次限制).
func defaultLimits(cfg AccountConfig) map[string]int64 {
	return map[string]int64{
		SendPath:                 cfg.DailyQuota,
		TokenPath:                2_000,
		StableTokenPath:          500_000,
		"/cgi-bin/user/get":      500,
		"/cgi-bin/user/info":     5_000_000,
		"/cgi-bin/qrcode/create": 100_000,
	}
}

// otherLimit is the limit of an API that the page does not list.
const otherLimit = 1_000_000

func (a *Account) limit(path string) int64 {
	if limit, ok := a.limits[path]; ok {
		return limit
	}
	return otherLimit
}

// day is the number of the quota day at now.
func (p *Platform) day(now time.Time) int64 {
	const secondsADay = 24 * 60 * 60
	return (now.Unix() + int64(p.cfg.QuotaUTCOffset/time.Second)) / secondsADay
}

// counter returns the path's counter for now. The lock is held.
func (a *Account) counter(path string, now time.Time) *counter {
	n := a.counters[path]
	if n == nil {
		n = &counter{}
		a.counters[path] = n
	}
	if day := a.p.day(now); day != n.day {
		n.day, n.used = day, 0
	}
	if minute := now.Unix() / 60; minute != n.minute {
		n.minute, n.current = minute, 0
	}
	return n
}

// spend counts one call, or refuses it: 45009 for the day, 45011 for the minute.
// Every call with a valid token counts, whatever its errcode: WeChat does not
// document this, and it is the stricter choice. The lock is held.
func (a *Account) spend(path string, now time.Time) wechat.Code {
	n := a.counter(path, now)
	if n.used >= a.limit(path) {
		return 45009
	}
	if path == SendPath && a.cfg.MinuteQuota > 0 && n.current >= a.cfg.MinuteQuota {
		return 45011
	}
	n.used++
	n.current++
	return 0
}

// SetDailyQuota changes the number of template sends a day.
func (a *Account) SetDailyQuota(limit int64) {
	defer a.p.locked()()
	a.limits[SendPath] = limit
}

// SetMinuteQuota changes the number of template sends a minute; 0 is no limit.
func (a *Account) SetMinuteQuota(limit int64) {
	defer a.p.locked()()
	a.cfg.MinuteQuota = limit
}

// SetUsed sets how many sends of today count against the quota, as when another
// program uses the account too.
func (a *Account) SetUsed(n int64) {
	defer a.p.locked()()
	a.counter(SendPath, time.Now()).used = n
}

// Used returns how many sends of today count against the quota.
func (a *Account) Used() int64 {
	defer a.p.locked()()
	return a.counter(SendPath, time.Now()).used
}
