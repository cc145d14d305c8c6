package wechattest_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// A bubble's clock starts at 2000-01-01 00:00 UTC, 08:00 in China.

func TestQuo02DailyQuotaRestartsAtMidnightInChina(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		b.a.SetDailyQuota(2)
		expect := func(want ...wechat.Code) {
			t.Helper()
			for i, code := range want {
				b.token = b.fetchStable(false).str("access_token")
				if got := b.send(order(openid, "")).code(); got != code {
					t.Errorf("%s, send %d: %d, want %d", time.Now(), i, got, code)
				}
			}
		}
		expect(0, 0, 45009)
		time.Sleep(16*time.Hour - time.Second)
		expect(45009)
		time.Sleep(time.Second)
		expect(0, 0, 45009)
		time.Sleep(24 * time.Hour)
		expect(0)
		if n := b.p.Calls(wechattest.SendPath); n.Total != 8 || n.OK != 5 || n.ByCode[45009] != 3 {
			t.Errorf("calls = %+v, want 8, of them 5 accepted and 3 refused", n)
		}
	})
}

func TestQuotaOffsetIsConfigurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{QuotaUTCOffset: 1})
		b.a.SetUsed(100_000)
		time.Sleep(24*time.Hour - time.Second)
		if code := b.try(b.fetchStable(false).str("access_token")); code != 45009 {
			t.Errorf("a second before midnight UTC: %d, want 45009", code)
		}
		time.Sleep(time.Second)
		if code := b.try(b.token); code != 0 {
			t.Errorf("midnight UTC: %d, want 0", code)
		}
	})
}

func TestMinuteQuotaRestartsEachMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		b.a.SetMinuteQuota(2)
		for i, want := range []wechat.Code{0, 0, 45011} {
			if got := b.send(order(openid, "")).code(); got != want {
				t.Errorf("send %d: %d, want %d", i, got, want)
			}
		}
		time.Sleep(time.Minute)
		if got := b.send(order(openid, "")).code(); got != 0 {
			t.Errorf("next minute: %d, want 0", got)
		}
		time.Sleep(59 * time.Second)
		for i, want := range []wechat.Code{0, 45011} {
			if got := b.send(order(openid, "")).code(); got != want {
				t.Errorf("end of the minute, send %d: %d, want %d", i, got, want)
			}
		}
		time.Sleep(time.Second)
		if got := b.send(order(openid, "")).code(); got != 0 {
			t.Errorf("a second on, in the next minute: %d, want 0", got)
		}
		if used := b.a.Used(); used != 5 {
			t.Errorf("used = %d, want 5: a call refused for the minute does not count for the day", used)
		}
	})
}

func TestFailedCallsCountAgainstTheQuota(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	b.p.Script(wechattest.Errcode(-1), wechattest.HTTPStatus(502), wechattest.CutBefore(), wechattest.CutAfterAccept())
	b.send(order(openid, "1"))
	for range 3 {
		_, _, _ = b.do("POST", wechattest.SendPath, map[string][]string{"access_token": {b.token}}, order(openid, "1"))
	}
	b.send("{}")
	if used := b.a.Used(); used != 3 {
		t.Fatalf("used = %d, want 3: -1, the one cut after it was accepted, and 40003", used)
	}
}

func TestQuotaGetAnswersTheCounters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{})
		b.a.SetDailyQuota(1000)
		b.a.SetUsed(900)
		ask := func() (limit, used, remain int64) {
			t.Helper()
			r := b.post(quotaGetPath, `{"cgi_path":"`+wechattest.SendPath+`"}`)
			if r.code() != 0 {
				t.Fatalf("quota/get: %v", r)
			}
			q := reply(r["quota"].(map[string]any))
			return q.num("daily_limit"), q.num("used"), q.num("remain")
		}
		if limit, used, remain := ask(); limit != 1000 || used != 900 || remain != 100 {
			t.Errorf("quota = %d %d %d, want 1000 900 100", limit, used, remain)
		}
		for path, want := range map[string]wechat.Code{
			"cgi-bin/x": 76021, "/cgi-bin/nothing": 76021, "/sns/userinfo": 76022,
		} {
			if r := b.post(quotaGetPath, `{"cgi_path":"`+path+`"}`); r.code() != want {
				t.Errorf("quota of %s: %v, want %d", path, r, want)
			}
		}
	})
}

func TestDuplicatesByClientMsgIDWithinTheWindow(t *testing.T) {
	t.Parallel()
	for how, want := range map[wechattest.DuplicateAnswer]func(first, second reply) bool{
		wechattest.SameMsgID: func(first, second reply) bool {
			return second.code() == 0 && second.num("msgid") == first.num("msgid")
		},
		wechattest.ZeroMsgID: func(_, second reply) bool {
			return second.code() == 0 && second.num("msgid") == 0
		},
		wechattest.RefuseDuplicate: func(_, second reply) bool { return second.code() == 40241 },
	} {
		t.Run(strconv.Itoa(int(how)), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, wechattest.Config{Duplicate: how})
				first := b.send(order(openid, "id-1"))
				time.Sleep(10*time.Minute - time.Second)
				if second := b.send(order(openid, "id-1")); !want(first, second) {
					t.Errorf("duplicate: %v after %v", second, first)
				}
				if b.send(order("oOther", "id-1")); b.p.SeenCount("id-1") != 2 {
					t.Errorf("seen %d times, want 2: another recipient is no duplicate", b.p.SeenCount("id-1"))
				}
				time.Sleep(time.Second)
				if b.send(order(openid, "id-1")); b.p.SeenCount("id-1") != 3 {
					t.Errorf("seen %d times, want 3: the ten minutes are over", b.p.SeenCount("id-1"))
				}
				if b.send(order(openid, "id-1")); b.p.SeenCount("id-1") != 3 {
					t.Errorf("seen %d times, want 3: a new window has begun", b.p.SeenCount("id-1"))
				}
				b.send(order(openid, ""))
				if b.send(order(openid, "")); b.p.SeenTotal() != 5 {
					t.Errorf("%d messages seen, want 5: without an id nothing is a duplicate", b.p.SeenTotal())
				}
			})
		})
	}
}

func TestDuplicateContentWithin60SecondsIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wechattest.Config{DuplicateContent: true})
		for i, tt := range []struct {
			to, id string
			wait   time.Duration
			want   wechat.Code
		}{
			{openid, "1", 0, 0},
			{openid, "2", 59 * time.Second, 40241},
			{openid, "1", 0, 0}, // its own id decides
			{"oOther", "2", 0, 0},
			{openid, "2", time.Second, 0},
			{openid, "3", 2 * time.Minute, 0},
		} {
			time.Sleep(tt.wait)
			if r := b.send(order(tt.to, tt.id)); r.code() != tt.want {
				t.Errorf("send %d: %v, want %d", i, r, tt.want)
			}
		}
	})
}
