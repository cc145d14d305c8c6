package locale_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestEveryFaultOfRedisIsToldInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		state   redisx.State
		name    string
		fatal   bool
		en, han string
	}{
		{redisx.State{Ahead: -10 * time.Minute}, "clock", true, "Clock of this machine is 10m0s behind Redis'", "本机比 Redis 慢 10m0s"},
		{redisx.State{Ahead: time.Minute}, "clock", true, "Clock of this machine is 1m0s ahead of Redis'", "本机比 Redis 快 1m0s"},
		{redisx.State{Ahead: 5 * time.Second}, "", false, "", ""},
		{redisx.State{NotSaved: "aof_last_write_status:err"}, "persistence", false, "(aof_last_write_status:err)", "无法写入磁盘（aof_last_write_status:err）"},
		{redisx.State{NoAOF: true}, "persistence", false, "appendonly is off", "appendonly 未开启"},
		{redisx.State{Policy: "allkeys-lru"}, "eviction", false, "may evict data", "可能淘汰数据"},
		{redisx.State{Used: 80, Max: 100}, "memory", false, "over 75 % full", "超过 75%"},
	} {
		en, zh := locale.RedisFaults(row.state, wechat.English), locale.RedisFaults(row.state, wechat.Chinese)
		if row.name == "" {
			if len(en)+len(zh) > 0 {
				t.Errorf("%+v: %v %v", row.state, en, zh)
			}
			continue
		}
		if len(en) != 1 || len(zh) != 1 || en[0].Name != row.name || en[0].Fatal != row.fatal || !strings.Contains(en[0].Text, row.en) || !strings.Contains(zh[0].Text, row.han) {
			t.Errorf("%+v: %v %v", row.state, en, zh)
		}
	}
}
