package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestMessagesFindsByEachFlag(t *testing.T) {
	t.Parallel()
	const one, two, phoned = "oCANARYx7Qk_4-pLmNb0TzYw8dEf", "oOTHERYx7Qk_4-pLmNb0TzYw8dEf", "order-13812345678"
	server := redistest.Start(t)
	rdb := server.Client(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	p, err := producer.New(rdb, producer.Config{Account: "wxa"})
	check(t, err)
	t.Cleanup(func() { _ = p.Close() })
	records, err := ledger.New(rdb, "wxa", nil, ledger.Config{})
	check(t, err)
	t.Cleanup(func() { _ = records.Close() })
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: "wxa"})
	check(t, err)
	_, err = roster.Bind(t.Context(), enroll.Binding{User: "patient-401", OpenID: two, How: "test"}, nil)
	check(t, err)
	send := func(id, to, template string, options ...producer.Option) {
		t.Helper()
		_, err := p.Enqueue(t.Context(), id, &wechat.TemplateMessage{ToUser: to, TemplateID: template, Data: map[string]wechat.Field{"thing1": {Value: "x"}}}, options...)
		check(t, err)
		for at := time.Now().UnixMilli(); time.Now().UnixMilli() == at; { // so that the order is known
			runtime.Gosched()
		}
	}
	send("m-1", one, "T1")
	send("m-2", two, "T2")
	send(phoned, one, "T1")
	send("m-3", "", "T2", producer.ToUser("patient-401"))
	_, err = records.Begin(t.Context(), job.Envelope{ID: "m-2", To: two, Template: "T2", Class: job.Default}, ledger.Delivery{N: 1})
	check(t, err)
	check(t, records.Failed(t.Context(), "m-2", 1, ledger.Outcome{State: ledger.Rejected, To: two, Errcode: 43004, Reason: "x", Attempt: true, Class: job.Default}))

	for args, want := range map[string]string{
		"":                                  "m-3 order-*********78 m-2 m-1",
		"--openid " + one:                   "order-*********78 m-1",
		"--openid " + two:                   "m-2", // m-3 has not gone to it yet
		"--user patient-401":                "m-3",
		"--template T1":                     "order-*********78 m-1",
		"--state rejected":                  "m-2",
		"--state rejected,dead":             "m-2",
		"--errcode 43004":                   "m-2",
		"--errcode 47003":                   "",
		"--since 1h":                        "m-3 order-*********78 m-2 m-1",
		"--until 1h":                        "",
		"--limit 2":                         "m-3 order-*********78",
		"--limit 0 --unmasked":              "m-3 " + phoned + " m-2 m-1",
		"--since 2020-01-01T00:00:00Z":      "m-3 order-*********78 m-2 m-1",
		"--template T2 --state queued":      "m-3",
		"--account wxa --errcode 43004":     "m-2",
		"--until 2020-01-01T00:00:00Z":      "",
		"--openid oNOBODYx7Qk_4-pLmNb0TzYw": "",
	} {
		r := inProcess(t, env, append([]string{"messages", "--output", "json"}, strings.Fields(args)...)...)
		var got []string
		for line := range strings.Lines(r.stdout) {
			var s producer.Status
			check(t, json.Unmarshal([]byte(line), &s))
			id, _, _ := strings.Cut(s.ID, "~") // what follows differs between processes
			got = append(got, id)
		}
		if strings.Join(got, " ") != want || r.code != exitDone {
			t.Errorf("messages %s: %d %q, want %q; %s", args, r.code, got, want, r.stderr)
		}
		if !strings.Contains(args, "unmasked") && (strings.Contains(r.stdout, one) || strings.Contains(r.stdout, two)) {
			t.Errorf("messages %s shows an openid", args)
		}
	}
	inProcess(t, env, "messages", "--errcode", "43004").has(t, exitDone, "m-2 rejected")
	inProcess(t, env, "messages", "--errcode", "1", "--lang", "zh").has(t, exitDone, "没有符合条件的消息")
	for args, want := range map[string]string{
		"--state gone": "--state:", "--since yesterday": "--since:", "--until -1h": "--until:", "--limit -1": "--limit:", "--errcode x": "--errcode:",
	} {
		inProcess(t, env, append([]string{"messages"}, strings.Fields(args)...)...).has(t, exitUsage, want)
	}
	for text, want := range map[string]time.Duration{"1h": time.Hour, "30d": 30 * 24 * time.Hour, "9999999d": 1000 * 24 * time.Hour} {
		if at, err := momentOrAgo("--since", text); err != nil || time.Since(at) < want || time.Since(at) > want+time.Hour {
			t.Errorf("%s is %v, %v", text, at, err)
		}
	}
}
