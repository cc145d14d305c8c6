package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// warnWaiting warns, for each account of templates, that no worker serves it, and which
// of the templates WeChat refuses. When the registry cannot be read there is no warning:
// the command itself is not about it.
func (a *app) warnWaiting(ctx context.Context, rdb redis.UniversalClient, templates map[string][]string) {
	for _, appid := range slices.Sorted(maps.Keys(templates)) {
		workers, seen, err := heartbeat.List(ctx, rdb, appid)
		if err != nil {
			continue
		}
		if text := a.noWorker(appid, workers, seen); text != "" {
			a.warning(text)
		}
		if len(templates[appid]) > 0 {
			for _, text := range a.heldTexts(workers, templates[appid]...) {
				a.warning(text)
			}
		}
	}
}

// noWorker says why no worker sends for the account; empty: one does.
func (a *app) noWorker(appid string, workers []heartbeat.Worker, seen time.Time) string {
	suspended := func(w heartbeat.Worker) bool { return w.Suspended != nil }
	wrongClock := func(w heartbeat.Worker) bool { return w.ClockAhead.Abs() > redisx.ClockLimit }
	switch {
	case len(workers) == 0 && seen.IsZero():
		return fmt.Sprintf(a.say("no worker of account %s has been seen in the last 90 days: start `wxnotify worker`, or correct the account",
			"最近 90 天没有账号 %s 的 worker：请启动 `wxnotify worker`，或更正账号"), appid)
	case len(workers) == 0:
		return fmt.Sprintf(a.say("no worker of account %s has been seen since %s: start `wxnotify worker`",
			"账号 %s 自 %s 起没有 worker：请启动 `wxnotify worker`"), appid, timeText(seen))
	case !slices.ContainsFunc(workers, func(w heartbeat.Worker) bool { return !suspended(w) }):
		var addresses []string
		for _, w := range workers {
			addresses = append(addresses, addressOf(w.Suspended))
		}
		slices.Sort(addresses)
		return fmt.Sprintf(a.say("every worker of account %s is suspended, WeChat refuses their addresses: put %s on the account's IP list",
			"账号 %s 的所有 worker 都已暂停，微信拒绝其地址：请把 %s 加入该账号的 IP 白名单"), appid, strings.Join(slices.Compact(addresses), ", "))
	case !slices.ContainsFunc(workers, func(w heartbeat.Worker) bool { return !suspended(w) && !wrongClock(w) }):
		return fmt.Sprintf(a.say("no worker of account %s sends, since clocks differ from Redis' by more than %s: set them by NTP; `wxnotify queues` names the workers",
			"账号 %s 没有 worker 在发送，因为时钟与 Redis 相差超过 %s：请用 NTP 校时；`wxnotify queues` 列出这些 worker"), appid, redisx.ClockLimit)
	}
	return ""
}

// addressOf is the egress address that WeChat saw.
func addressOf(s *heartbeat.Suspension) string {
	if s.Address == "" {
		return "an address that WeChat did not name"
	}
	return s.Address
}

// heldTexts say which messages of the account a worker leaves waiting, and why. only are
// the templates to speak of; none: all.
func (a *app) heldTexts(workers []heartbeat.Worker, only ...string) (texts []string) {
	told := map[string]bool{}
	for _, w := range workers {
		for _, h := range w.Held {
			if h.SealKey != "" {
				texts = append(texts, fmt.Sprintf(a.say("messages that are sealed with the key %s wait: the worker %s does not have it. Add it to its WXNOTIFY_SEAL_KEYS, and SIGHUP or restart; another worker that has it sends them, too",
					"用密钥 %s 加密的消息等待：worker %s 没有该密钥。请加入其 WXNOTIFY_SEAL_KEYS，并 SIGHUP 或重启；其他拥有该密钥的 worker 也会发送"), h.SealKey, w.Host))
				continue
			}
			if told[h.Template] || len(only) > 0 && !slices.Contains(only, h.Template) {
				continue
			}
			told[h.Template] = true
			code := wechat.Code(h.Errcode)
			texts = append(texts, fmt.Sprintf(a.say("WeChat refuses the template %s since %s (errcode %d): its messages wait, one of them is tried at %s. %s",
				"模板 %s 自 %s 起被微信拒绝（errcode %d）：其消息等待，%s 试发其中一条。%s"), h.Template, timeText(h.Since), h.Errcode, timeText(h.Until), code.RemedyIn(a.lang)))
		}
	}
	return texts
}

// workerText is one worker as `queues` prints it.
func (a *app) workerText(w heartbeat.Worker) string {
	state := a.say("sends", "发送中")
	if w.ClockAhead.Abs() > redisx.ClockLimit {
		state = fmt.Sprintf(a.say("sends nothing: its clock differs from Redis' by %s", "不发送：时钟与 Redis 相差 %s"), w.ClockAhead.Abs().Round(time.Second))
	}
	if s := w.Suspended; s != nil {
		state = fmt.Sprintf(a.say("suspended since %s: WeChat refuses its address %s (errcode %d)", "自 %s 起暂停：微信拒绝其地址 %s（errcode %d）"),
			timeText(s.Since), addressOf(s), s.Errcode)
	}
	return fmt.Sprintf(a.say("%s\t%s\tsince %s\tseen %s\t%s", "%s\t%s\t启动于 %s\t最近 %s\t%s"), w.Host, orDash(w.Version), timeText(w.Started), timeText(w.Seen), state)
}
