package locale_test

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestHeaderChoosesTheLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]wechat.Lang{
		"":                               wechat.English,
		"zh-CN,zh;q=0.9,en;q=0.8":        wechat.Chinese,
		"zh-Hant-TW":                     wechat.Chinese,
		"yue-HK":                         wechat.Chinese,
		"en-US,en;q=0.9,zh-CN;q=0.8":     wechat.English,
		"fr, zh;q=0.5":                   wechat.Chinese,
		"fr":                             wechat.English,
		"zh;q=0, en;q=0.1":               wechat.English,
		"*":                              wechat.English,
		"\x00;;;q=9,zh":                  wechat.English,
		"zh; q=0.1, en; q=0.2, fr;q=0.9": wechat.English,

		strings.Repeat("fr,", 300) + "zh": wechat.Chinese,
		strings.Repeat("zh,", 10_000):     wechat.English, // longer than any browser's
	} {
		if got := locale.FromHeader(header); got != want {
			t.Errorf("%q chooses %s, want %s", header, got, want)
		}
	}
}

func TestAHeaderThatNamesNoLanguageLeavesTheOther(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]wechat.Lang{
		"":                            wechat.Chinese,
		"en;q=0":                      wechat.Chinese,
		"\x00\xff":                    wechat.Chinese,
		strings.Repeat("en,", 10_000): wechat.Chinese,
		"en":                          wechat.English,
		"fr":                          wechat.English,
		"fr, zh;q=0.1":                wechat.Chinese,
	} {
		if got := locale.FromHeaderOr(header, wechat.Chinese); got != want {
			t.Errorf("%.40q chooses %s, want %s", header, got, want)
		}
	}
}

// The header of each request is read, also of those without a login.
//
//nolint:paralleltest // AllocsPerRun counts those of all goroutines
func TestAHeaderIsReadAtLittleCost(t *testing.T) {
	for _, header := range []string{"zh-CN,zh;q=0.9,en;q=0.8", strings.Repeat("zh,", 10_000)} {
		if n := testing.AllocsPerRun(10, func() { locale.FromHeader(header) }); n > 100 {
			t.Errorf("%.40q costs %.0f allocations", header, n)
		}
	}
}

func TestEnvironmentChoosesTheLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env  map[string]string
		want wechat.Lang
	}{
		{nil, wechat.English},
		{map[string]string{"LANG": "zh_CN.UTF-8"}, wechat.Chinese},
		{map[string]string{"LANG": "zh"}, wechat.Chinese},
		{map[string]string{"LANG": "zh.UTF-8"}, wechat.Chinese},
		{map[string]string{"LANG": "en_GB.UTF-8"}, wechat.English},
		{map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, wechat.English},
		{map[string]string{"LANG": "C", "LC_MESSAGES": "zh_TW"}, wechat.Chinese},
		{map[string]string{"LANG": "zha_CN"}, wechat.English}, // Zhuang
	} {
		if got := locale.FromEnvironment(tt.env); got != tt.want {
			t.Errorf("%v chooses %s, want %s", tt.env, got, tt.want)
		}
	}
}

func TestEveryReasonOfAClosedGateHasBothLanguages(t *testing.T) {
	t.Parallel()
	for _, r := range []ratelimit.Reason{
		ratelimit.ReasonQuota, ratelimit.ReasonRefused, ratelimit.ReasonMinute, ratelimit.ReasonUnreconciled, ratelimit.ReasonAccount,
		ratelimit.ReasonToken, ratelimit.ReasonAddress, ratelimit.ReasonBreaker, ratelimit.ReasonManual,
	} {
		en, zh := locale.GateReason(r, wechat.English), locale.GateReason(r, wechat.Chinese)
		if en == "" || en == zh || en == string(r) {
			t.Errorf("%s: %q, %q", r, en, zh)
		}
	}
	if got := locale.GateReason("other", wechat.Chinese); got != "other" {
		t.Errorf("an unknown reason is shown as %q", got)
	}
}
