package ops

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/wxnotify/wxnotify/internal/locale"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

// words holds the texts of the index page in one language.
type words struct {
	Lang, Other, OtherName                                      string
	Operate                                                     string
	Title, AsOf, Reload, Console, Ready, Metrics                string
	Accounts, Account, Quota, Reserve, Resets, Rate, Gate       string
	Open, Closed, Until, NoEnd, By, Unlimited, Unknown          string
	Queues, Queue, Pending, Active, Scheduled, Retry, Archived  string
	Completed, Oldest, Memory, Paused, Broken, NoQueues, Checks string
	OK, Failed, Redis, Of, NoBound, Attention, NotReadable      string
	OtherTool, WithoutData, Evicts, NearFull                    string
	Workers, Host, Version, Started, Seen, Sends, Suspended     string
	NoWorker, NeverWorker, AllSuspended, RefusedAddress         string
	Clock, ClockAhead, ClockBehind, NoAOF, NotSaved             string
}

// Reason describes why a gate is closed.
func (w words) Reason(r ratelimit.Reason) string { return locale.GateReason(r, wechat.Lang(w.Lang)) }

// language picks by ?lang=, then by Accept-Language. Default: English.
func language(r *http.Request) words {
	switch r.URL.Query().Get("lang") {
	case "zh":
		return chinese()
	case "en":
		return english()
	}
	best, zh := 0.0, false
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64) // 0 when malformed: the language is not chosen
		}
		main, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if (main == "zh" || main == "en") && q > best {
			best, zh = q, main == "zh"
		}
	}
	if zh {
		return chinese()
	}
	return english()
}

func english() words {
	return words{
		Lang: "en", Other: "zh", OtherName: "中文",
		Title: "wxnotify operations", AsOf: "as of", Reload: "Reload",
		Operate: "Console", Console: "Queue console", Ready: "Readiness", Metrics: "Metrics",
		Accounts: "Accounts", Account: "Account", Quota: "Quota today", Reserve: "for critical only", Resets: "resets", Rate: "Rate",
		Gate: "Gate", Open: "open", Closed: "closed", Until: "until", NoEnd: "until an admin opens it", By: "by",
		Unlimited: "no limit", Unknown: "not known",
		Queues: "Queues", Queue: "Queue", Pending: "Pending", Active: "Active", Scheduled: "Scheduled", Retry: "Retry",
		Archived: "Archived", Completed: "Completed", Oldest: "Oldest waits", Memory: "Memory", Paused: "paused", Broken: "broken",
		NoQueues: "No queue yet: the first message creates one.", Checks: "Readiness", OK: "ok", Failed: "failed",
		Redis: "Redis memory", Of: "of", NoBound: "no limit set", Attention: "Action needed", NotReadable: "cannot be read",
		OtherTool:   "by another tool; `wxnotify queues resume` resumes it",
		WithoutData: "has tasks whose data is gone: Redis evicted it, or it was deleted by hand. Running workers remove such tasks. Set maxmemory-policy noeviction.",
		Evicts:      "may evict data (maxmemory-policy is not noeviction): messages can be lost unnoticed. Set maxmemory-policy noeviction.",
		Clock:       "Clock", ClockAhead: "of this machine is %s ahead of Redis': workers fetch nothing. Set both by NTP.",
		ClockBehind: "of this machine is %s behind Redis': workers fetch nothing. Set both by NTP.",
		NoAOF:       "forgets queues, records and roster when it restarts (appendonly is off). Set appendonly yes, in its configuration file too.",
		NotSaved:    "could not write to its disk: what it took since then is lost when it restarts, or it refuses writes. Free disk space and look at the log of Redis.",
		NearFull:    "is over 75 % full: Enqueue refuses messages. At 100 % workers stop too. Raise maxmemory, or wait until the queues are shorter.",
		Workers:     "Workers", Host: "Host", Version: "Version", Started: "Started", Seen: "Last seen", Sends: "sends", Suspended: "suspended",
		NoWorker:       "has no worker since %s: its messages wait. Start one, with this account in its configuration.",
		NeverWorker:    "has had no worker in the last 90 days: its messages wait. Start one, or correct the appid in the program that enqueues.",
		AllSuspended:   "has suspended workers only: WeChat refuses their addresses. Put these on the account's IP list.",
		RefusedAddress: "WeChat refuses its address %s (errcode %d) since %s",
	}
}

func chinese() words {
	return words{
		Lang: "zh", Other: "en", OtherName: "English",
		Title: "wxnotify 运维", AsOf: "截至", Reload: "刷新",
		Operate: "控制台", Console: "队列控制台", Ready: "就绪检查", Metrics: "指标",
		Accounts: "公众号", Account: "公众号", Quota: "今日配额", Reserve: "仅供 critical", Resets: "重置于", Rate: "速率",
		Gate: "闸门", Open: "开放", Closed: "关闭", Until: "直到", NoEnd: "直到管理员打开", By: "操作者",
		Unlimited: "不限", Unknown: "未知",
		Queues: "队列", Queue: "队列", Pending: "待发", Active: "发送中", Scheduled: "定时", Retry: "待重试",
		Archived: "已归档", Completed: "已完成", Oldest: "最久等待", Memory: "内存", Paused: "已暂停", Broken: "损坏",
		NoQueues: "还没有队列：第一条消息会创建它。", Checks: "就绪检查", OK: "正常", Failed: "失败",
		Redis: "Redis 内存", Of: "/", NoBound: "未设上限", Attention: "需要处理", NotReadable: "无法读取",
		OtherTool:   "由其他工具暂停；可用 `wxnotify queues resume` 恢复",
		WithoutData: "中有任务数据已丢失：数据被 Redis 淘汰或被人删除。运行中的 worker 会移除这些任务。请设置 maxmemory-policy noeviction。",
		Evicts:      "可能淘汰数据（maxmemory-policy 不是 noeviction），消息会无声丢失。请设置 maxmemory-policy noeviction。",
		Clock:       "时钟", ClockAhead: "：本机比 Redis 快 %s，worker 停止取任务。请用 NTP 校准两边。",
		ClockBehind: "：本机比 Redis 慢 %s，worker 停止取任务。请用 NTP 校准两边。",
		NoAOF:       "重启后会丢失队列、记录和名册（appendonly 未开启）。请设置 appendonly yes，并写入配置文件。",
		NotSaved:    "无法写入磁盘：此后的数据在重启时会丢失，或 Redis 拒绝写入。请清理磁盘并查看 Redis 日志。",
		NearFull:    "内存已用超过 75%：Enqueue 拒绝新消息。用满后 worker 也会停止。请调大 maxmemory，或等待队列变短。",
		Workers:     "Worker", Host: "主机", Version: "版本", Started: "启动于", Seen: "最近报告", Sends: "发送中", Suspended: "已暂停",
		NoWorker:       "自 %s 起没有 worker，消息在等待。请启动 worker，并在其配置中加入该账号。",
		NeverWorker:    "最近 90 天没有 worker，消息在等待。请启动 worker，或更正入队方的 appid。",
		AllSuspended:   "的所有 worker 都已暂停：微信拒绝其出口 IP。请把以下地址加入该账号的 IP 白名单。",
		RefusedAddress: "微信拒绝其出口 IP %s（errcode %d），自 %s 起",
	}
}
