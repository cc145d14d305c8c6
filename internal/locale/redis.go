package locale

import (
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// RedisFault is something that an admin must mend in Redis, or at this machine's clock.
type RedisFault struct {
	Name  string // clock, persistence, eviction or memory
	Fatal bool   // nothing is sent until it is mended
	Text  string // what is wrong, and the remedy
}

// RedisFaults lists what is wrong, with texts in lang.
func RedisFaults(s redisx.State, lang wechat.Lang) (out []RedisFault) {
	add := func(bad bool, name, en, zh string) {
		if bad {
			out = append(out, RedisFault{Name: name, Fatal: name == "clock", Text: lang.Choose(en, zh)})
		}
	}
	off, en, zh := s.Ahead.Abs().Round(time.Second), "ahead of", "快"
	if s.Ahead < 0 {
		en, zh = "behind", "慢"
	}
	add(s.WrongClock(), "clock", fmt.Sprintf("Clock of this machine is %s %s Redis': workers fetch nothing. Set both by NTP.", off, en),
		fmt.Sprintf("时钟：本机比 Redis %s %s，worker 停止取任务。请用 NTP 校准两边。", zh, off))
	add(s.NotSaved != "", "persistence",
		"Redis could not write to its disk ("+s.NotSaved+"): what it took since then is lost when it restarts, or it refuses writes. Free disk space and look at the log of Redis.",
		"Redis 无法写入磁盘（"+s.NotSaved+"）：此后的数据在重启时会丢失，或 Redis 拒绝写入。请清理磁盘并查看 Redis 日志。")
	add(s.NoAOF, "persistence",
		"Redis forgets queues, records and roster when it restarts (appendonly is off). Run CONFIG SET appendonly yes, and set it in its configuration file too.",
		"Redis 重启后会丢失队列、记录和名册（appendonly 未开启）。请执行 CONFIG SET appendonly yes，并写入配置文件。")
	add(s.Evicts(), "eviction",
		"Redis may evict data (maxmemory-policy is not noeviction): messages can be lost unnoticed. Run CONFIG SET maxmemory-policy noeviction.",
		"Redis 可能淘汰数据（maxmemory-policy 不是 noeviction），消息会无声丢失。请执行 CONFIG SET maxmemory-policy noeviction。")
	add(s.Full(), "memory",
		"Redis is over 75 % full: Enqueue refuses messages. At 100 % workers stop too. Raise maxmemory, or wait until the queues are shorter.",
		"Redis 内存已用超过 75%：Enqueue 拒绝新消息。用满后 worker 也会停止。请调大 maxmemory，或等待队列变短。")
	return out
}
