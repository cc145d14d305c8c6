package doctor

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// fleetChecks ask Redis what the processes of an account know.
func fleetChecks(in Installation, a Account, rdb redis.UniversalClient) []Check {
	return []Check{
		{Name: "token", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { checkToken(ctx, n, in, a, rdb) }},
		{Name: "gate", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { checkGate(ctx, n, a, rdb) }},
		{Name: "queues", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { checkQueues(ctx, n, a, rdb) }},
		{Name: "workers", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { checkWorkers(ctx, n, a, rdb) }},
		{Name: "seal", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { checkSeal(ctx, n, a, rdb) }},
		{Name: "names", Account: a.AppID, Run: func(ctx context.Context, n *Notes) { checkNames(ctx, n, a, rdb) }},
	}
}

// noFetcher lets a token store be opened that is only read.
type noFetcher struct{}

func (noFetcher) FetchClassic(context.Context) (wechat.Token, error) { return wechat.Token{}, nil }
func (noFetcher) FetchStable(context.Context, bool) (wechat.Token, error) {
	return wechat.Token{}, nil
}

func checkToken(ctx context.Context, n *Notes, in Installation, a Account, rdb redis.UniversalClient) {
	if a.Mode == tokenstore.Classic {
		n.Add("token-classic")
	}
	store, err := tokenstore.New(rdb, noFetcher{}, tokenstore.Config{AppID: a.AppID, Mode: a.Mode})
	if err != nil {
		n.Add("setting-fault", "cause", err.Error())
		return
	}
	s, err := store.State(ctx)
	if err != nil {
		skipUnread(n, err)
		return
	}
	if s.War {
		n.Add("token-war", "refusals", strconv.Itoa(s.Refusals))
	}
	if s.LastError != nil {
		r := refusalOf(s.LastError, n.lang)
		if r.remedy == "" {
			r.remedy = s.Remedy
		}
		n.Add("token-fails", "cause", in.ErrorText(s.LastError), "remedy", r.remedy)
	}
	if s.Fingerprint == "" {
		n.Detail("none; the first worker fetches one", "没有；第一个 worker 会获取")
	} else {
		n.Detail("{mode}, {age} old", "{mode}，已使用 {age}", "mode", s.Mode, "age", s.Age.Round(time.Second).String())
	}
}

func skipUnread(n *Notes, err error) {
	n.Skip("Redis does not answer: {cause}", "Redis 没有回应：{cause}", "cause", err.Error())
}

func checkGate(ctx context.Context, n *Notes, a Account, rdb redis.UniversalClient) {
	if a.Gate == nil {
		n.Skip("its settings are faulty", "它的设置有误")
		return
	}
	gate, err := a.Gate(rdb)
	if err != nil {
		n.Add("setting-fault", "cause", err.Error())
		return
	}
	s, err := gate.State(ctx)
	if err != nil {
		skipUnread(n, err)
		return
	}
	n.Detail("{used} of {cap} used today", "今日已用 {used} / {cap}", "used", strconv.FormatInt(s.Used, 10), "cap", strconv.FormatInt(s.Cap, 10))
	for _, p := range s.Closures() {
		if p.Reason == ratelimit.ReasonUnreconciled && s.Used == 0 {
			continue // before the first message of the day or of the installation
		}
		until := "-"
		if !p.Until.IsZero() {
			until = p.Until.Local().Format(time.RFC3339)
		}
		detail := p.Detail
		if p.Owner != "" {
			detail = strings.TrimSpace(detail + " (" + p.Owner + ")")
		}
		n.Add(gateCode(p.Reason), "reason", string(p.Reason), "detail", detail, "until", until)
	}
}

// gateCode is the finding of a closed gate.
func gateCode(r ratelimit.Reason) Code {
	switch r {
	case ratelimit.ReasonQuota, ratelimit.ReasonRefused:
		return "gate-quota"
	case ratelimit.ReasonAccount:
		return "gate-account"
	case ratelimit.ReasonToken:
		return "gate-token"
	case ratelimit.ReasonAddress:
		return "gate-address"
	case ratelimit.ReasonManual:
		return "gate-manual"
	case ratelimit.ReasonMinute, ratelimit.ReasonUnreconciled, ratelimit.ReasonBreaker:
	}
	return "gate-closed"
}

func checkQueues(ctx context.Context, n *Notes, a Account, rdb redis.UniversalClient) {
	states, err := queue.NewInspector(rdb).Queues(ctx, a.AppID)
	if err != nil {
		skipUnread(n, err)
		return
	}
	n.Detail("messages that wait: {waiting}", "{waiting} 条消息在等待", "waiting", strconv.FormatInt(waiting(states), 10))
	for _, q := range states {
		if q.Missing > 0 {
			n.Add("tasks-without-data", "queue", q.Name)
		}
		if !q.Paused {
			continue
		}
		detail := text{"by another tool", "由其他工具暂停"}.in(n.lang)
		if q.Pause != nil {
			detail = q.Pause.Owner + ", " + q.Pause.Since.Local().Format(time.RFC3339) + ": " + q.Pause.Reason
		}
		n.Add("class-paused", "class", string(q.Class), "detail", detail)
	}
}

// waiting counts the messages that are not sent yet.
func waiting(states []queue.State) (sum int64) {
	for _, q := range states {
		sum += q.Pending + q.Active + q.Retry + q.Scheduled
	}
	return sum
}

func checkWorkers(ctx context.Context, n *Notes, a Account, rdb redis.UniversalClient) {
	workers, last, err := heartbeat.List(ctx, rdb, a.AppID)
	if err != nil {
		skipUnread(n, err)
		return
	}
	n.Detail("{count} alive", "{count} 个存活", "count", strconv.Itoa(len(workers)))
	if len(workers) == 0 {
		noteNoWorker(ctx, n, a, rdb, last)
		return
	}
	var addresses, versions []string
	suspended := 0
	for _, w := range workers {
		versions = append(versions, w.Version)
		if w.ClockAhead.Abs() > redisx.ClockLimit {
			n.Add("worker-clock", append(clockFields(n, w.ClockAhead), "host", w.Host)...)
		}
		s := w.Suspended
		if s == nil {
			continue
		}
		suspended++
		address := s.Address
		if address == "" {
			address = text{"not told", "未提供"}.in(n.lang)
		}
		addresses = append(addresses, address)
		n.Add("worker-suspended", "host", w.Host, "address", address, "errcode", strconv.Itoa(s.Errcode), "since", s.Since.Local().Format(time.RFC3339))
	}
	if suspended == len(workers) {
		slices.Sort(addresses)
		n.Add("worker-all-suspended", "address", strings.Join(slices.Compact(addresses), ", "))
	}
	slices.Sort(versions)
	if versions = slices.Compact(versions); len(versions) > 1 {
		n.Add("worker-versions", "versions", strings.Join(versions, ", "))
	}
}

func noteNoWorker(ctx context.Context, n *Notes, a Account, rdb redis.UniversalClient, last time.Time) {
	count := int64(0)
	if states, err := queue.NewInspector(rdb).Queues(ctx, a.AppID); err == nil {
		count = waiting(states)
	}
	if last.IsZero() && count == 0 {
		n.Add("worker-never")
		return
	}
	reported := text{"never", "从未"}.in(n.lang)
	if !last.IsZero() {
		reported = last.Local().Format(time.RFC3339)
	}
	n.Add("worker-none", "waiting", strconv.FormatInt(count, 10), "last", reported)
}
