package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
)

// helpDesk is an environment of two accounts whose AppSecrets cannot be read.
func helpDesk(t *testing.T, server *redistest.Server) map[string]string {
	t.Helper()
	file := testutil.File(t, "wxnotify.yaml", "redis_url: "+server.URL()+`
accounts:
  - {appid: wxone, appsecret_file: /run/secrets/not-mine}
  - {appid: wxtwo, appsecret: "env:NOT_SET", callback_token: "env:NOT_SET"}
`)
	return map[string]string{"WXNOTIFY_CONFIG": file}
}

func (r result) has(t *testing.T, code int, want ...string) {
	t.Helper()
	text := strings.Join(strings.Fields(r.stdout+r.stderr), " ")
	if r.code != code {
		t.Errorf("exit %d, want %d:\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, one := range want {
		if !strings.Contains(text, one) {
			t.Errorf("%q is not in:\n%s%s", one, r.stdout, r.stderr)
		}
	}
}

func (r result) hasNot(t *testing.T, never ...string) {
	t.Helper()
	for _, one := range never {
		if strings.Contains(r.stdout+r.stderr, one) {
			t.Errorf("%q is in:\n%s%s", one, r.stdout, r.stderr)
		}
	}
}

// TestLookingNeedsNoSecretAndNoAccount: each command that only looks works for a help
// desk that cannot read the AppSecrets, and shows all accounts unless one is named.
func TestLookingNeedsNoSecretAndNoAccount(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := helpDesk(t, server)
	look := func(args ...string) result { t.Helper(); return inProcess(t, env, args...) }

	look("dead").has(t, 0, "no dead letters")
	look("suppress").has(t, 0, "no recipient is suppressed")
	look("enroll", "list", "--account", "wxone").has(t, 0, "no user has enrolled")
	look("enroll", "audit", "--account", "wxone").has(t, 0, "nothing has been changed")
	for _, appid := range []string{"wxone", "wxtwo"} {
		look(sendArgs("same-id", "--account", appid)...).has(t, 0, "queued")
		look("suppress", "add", "oSuppressed0000000000000"+appid, "--account", appid).has(t, 0)
		records, err := ledger.New(server.Client(t), appid, nil, ledger.Config{})
		check(t, err)
		e := job.Envelope{ID: "dead-of-" + appid, Class: job.Default, To: "oDead", Template: "T", QueuedAt: time.Now()}
		_, err = records.Begin(t.Context(), e, ledger.Delivery{N: 1})
		check(t, err)
		check(t, records.Failed(t.Context(), e.ID, 1, ledger.Outcome{State: ledger.Dead, Reason: "r", Payload: []byte("x"), Attempt: true}))
		check(t, records.Close())
	}
	look("dead").has(t, 0, "wxone dead-of-wxone", "wxtwo dead-of-wxtwo")
	look("dead", "list", "--account", "wxtwo").hasNot(t, "wxone")
	look("suppress").has(t, 0, "wxone oSup", "wxtwo oSup")
	look("suppress", "list", "--account", "wxtwo").hasNot(t, "wxone")
	look("queues").has(t, 0, "account wxone: gate", "account wxtwo: gate")
	look("quota").has(t, 0, "account wxone", "account wxtwo")
	look("token").has(t, 0, "account wxone", "account wxtwo")
	look("status", "same-id").has(t, 0, "account wxone", "account wxtwo")
	look("status", "dead-of-wxtwo", "neither").has(t, 1, "account wxtwo", "neither")
	look("status", "same-id", "--account", "wxone").hasNot(t, "wxtwo")
	for _, args := range [][]string{{"queues"}, {"quota"}, {"token"}, {"status", "same-id"}, {"dead"}, {"suppress"}, {"stats"}} {
		r := look(append(args, "--output", "json")...)
		var accounts []string
		for in := json.NewDecoder(strings.NewReader(r.stdout)); ; {
			var one struct {
				Account string `json:"account"`
				AppID   string `json:"appid"`
			}
			if err := in.Decode(&one); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", args, err, r.stdout)
			}
			accounts = append(accounts, one.Account+one.AppID)
		}
		if text := strings.Join(accounts, " "); text != "wxone wxtwo" {
			t.Errorf("%s --output json shows %q: %s", args, text, r.stdout)
		}
	}
	look("api", "keys", "--account", "wxone").has(t, 0, "no keys")
	look("cancel", "same-id").has(t, 2, "name one with --account")
	look("quota", "--ask", "--account", "wxone").has(t, 2, "/run/secrets/not-mine")
}

// TestAccountWithoutWorkerIsTold: at send, with --wait, in status and in queues.
func TestAccountWithoutWorkerIsTold(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	look := func(args ...string) result { t.Helper(); return inProcess(t, env, args...) }
	const never, since = "no worker of account wxa has been seen in the last 90 days", "no worker of account wxa has been seen since 20"

	look("queues").has(t, 0, never)
	look(sendArgs("one")...).has(t, 0, never, "start `wxnotify worker`")
	look("--lang", "zh", "status", "one").has(t, 0, "最近 90 天没有账号 wxa 的 worker")
	look(sendArgs("two", "-o", "json")...).has(t, 0, `{"warning":{"message":"`+never)
	look(sendArgs("dry", "--dry-run")...).hasNot(t, never)
	look(sendArgs("wait", "--wait", "--wait-for", "1ms")...).has(t, 1, never)
	look(sendArgs("wait-2", "--wait", "--wait-for", "1ms", "--lang", "zh")...).has(t, 1, "最近 90 天没有账号 wxa 的 worker")

	stopped := heartbeat.NewReporter(rdb, "wxa", heartbeat.Worker{ID: "w0", Host: "old-host", Started: time.Now()})
	_, err := stopped.Beat(t.Context(), nil)
	check(t, err)
	check(t, stopped.Leave(t.Context()))
	look("status", "one").has(t, 0, since)
	look("queues").has(t, 0, since)

	benched := heartbeat.NewReporter(rdb, "wxa", heartbeat.Worker{ID: "w1", Host: "host-1", Version: "v1.2.3", Started: time.Now()})
	_, err = benched.Beat(t.Context(), &heartbeat.Suspension{Since: time.Now(), Errcode: 40164, Address: "203.0.113.7"})
	check(t, err)
	look("status", "one").has(t, 0, "every worker of account wxa is suspended", "put 203.0.113.7 on the account's IP list")
	_, err = heartbeat.NewReporter(rdb, "wxa", heartbeat.Worker{ID: "w2", Host: "host-2", Started: time.Now()}).Beat(t.Context(), nil)
	check(t, err)
	look("status", "one").hasNot(t, "worker")
	look(sendArgs("three")...).hasNot(t, "worker")
	r := look("queues")
	r.has(t, 0, "worker host-1 v1.2.3 since 20", "WeChat refuses its address 203.0.113.7 (errcode 40164)", "worker host-2")
	r.hasNot(t, "no worker", "every worker")
	look("queues", "-o", "json").has(t, 0, `"address": "203.0.113.7"`, `"workers_seen": "20`)
	look("queues", "--lang", "zh").has(t, 0, "账号 wxa：闸门", "微信拒绝其地址", "已等待")
	status := look("status", "one", "-o", "json").stdout
	template := regexp.MustCompile(`"template_id": "([^"]+)"`).FindStringSubmatch(status)
	if template == nil {
		t.Fatalf("no template in %s", status)
	}
	refused := heartbeat.Held{Template: template[1], Errcode: 40037, Since: time.Now(), Until: time.Now().Add(time.Minute)}
	other := heartbeat.Held{Template: "T-other", Errcode: 40037, Since: time.Now(), Until: time.Now().Add(time.Minute)}
	for _, id := range []string{"w2", "w3"} {
		_, err = heartbeat.NewReporter(rdb, "wxa", heartbeat.Worker{ID: id, Host: "host-2", Started: time.Now()}).Beat(t.Context(), nil, refused, other)
		check(t, err)
	}
	text := "WeChat refuses the template " + template[1] + " since 20"
	r = look("queues")
	r.has(t, 0, text, "(errcode 40037): its messages wait", "模板消息 > 我的模板", "the template T-other")
	if strings.Count(r.stdout, text) != 1 {
		t.Errorf("two workers tell it twice: %s", r.stdout)
	}
	look("queues", "-o", "json").has(t, 0, `"template": "T-other"`)
	r = look("status", "one")
	r.has(t, 0, text)
	r.hasNot(t, "T-other")
	r = look(sendArgs("of-a-refused-template")...)
	r.has(t, 0, text)
	r.hasNot(t, "T-other")
	look(sendArgs("waits", "--wait", "--wait-for", "1ms", "--lang", "zh")...).has(t, 1, "模板 "+template[1]+" 自 20")
	_, err = heartbeat.NewReporter(rdb, "wxa", heartbeat.Worker{ID: "w4", Host: "host-4", Started: time.Now()}).Beat(t.Context(), nil, heartbeat.Held{SealKey: "k1a2b3"})
	check(t, err)
	sealed := "messages that are sealed with the key k1a2b3 wait: the worker host-4 does not have it"
	look("queues").has(t, 0, sealed, "WXNOTIFY_SEAL_KEYS")
	look("status", "one").has(t, 0, sealed)
	look("status", "one", "--lang", "zh").has(t, 0, "用密钥 k1a2b3 加密的消息等待", "模板 "+template[1]+" 自 20", "起被微信拒绝（errcode 40037）")
	check(t, rdb.FlushAll(t.Context()).Err())

	clock := func(id string, ahead time.Duration, more string) {
		t.Helper()
		check(t, rdb.HSet(t.Context(), "wxn:{wxa}:workers", id, fmt.Sprintf(`%d %d {"id":%q,"host":%q%s}`, time.Now().UnixMilli(), ahead.Milliseconds(), id, id, more)).Err())
	}
	clock("slow", -40*time.Second, "")
	const wrong = "no worker of account wxa sends, since clocks differ from Redis' by more than 10s"
	look("queues").has(t, 0, "worker slow", "sends nothing: its clock differs from Redis' by 40s", wrong)
	look(sendArgs("four")...).has(t, 0, wrong)
	look("status", "four", "--lang", "zh").has(t, 0, "时钟与 Redis 相差超过 10s")
	clock("refused", 0, `,"suspended":{"errcode":40164,"address":"203.0.113.7"}`)
	look("status", "four").has(t, 0, wrong)
	look("queues").has(t, 0, "WeChat refuses its address 203.0.113.7", wrong)
	clock("good", time.Second, "")
	look("status", "four").hasNot(t, "worker")
	check(t, rdb.FlushAll(t.Context()).Err())
}

// asked is inProcess for a command that asks Redis. It is repeated when the machine is too
// busy for the second in which Redis has to answer.
func asked(t *testing.T, env map[string]string, args ...string) (r result) {
	t.Helper()
	testutil.Until(t, "Redis answers in time", func() bool {
		r = inProcess(t, env, args...)
		return !strings.Contains(r.stderr, "timeout") && !strings.Contains(r.stderr, "deadline exceeded")
	})
	return r
}

// TestCommandsTellOfARedisThatCannotWrite: what looks works; what changes says the remedy.
func TestCommandsTellOfARedisThatCannotWrite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	look := func(args ...string) result { t.Helper(); return asked(t, env, args...) }
	look(sendArgs("one")...).hasNot(t, "Redis could not write")
	look("queues").has(t, 0, "appendonly is off")
	look("status", "one").hasNot(t, "appendonly")

	check(t, rdb.ConfigSet(t.Context(), "save", "3600 1").Err())
	check(t, os.RemoveAll(server.Dir)) // as a full disk: a snapshot cannot be written
	check(t, rdb.BgSave(t.Context()).Err())
	testutil.Until(t, "writes are refused", func() bool { return redis.HasErrorPrefix(rdb.Set(t.Context(), "k", "v", 0).Err(), "MISCONF") })
	for _, args := range [][]string{{"queues"}, {"status", "one"}, {"messages"}, {"stats"}} {
		look(args...).has(t, 0, "Redis could not write to its disk", "Free disk space")
	}
	look(append(sendArgs("two"), "--lang", "zh")...).has(t, 1, "Redis 无法写入磁盘", "清理磁盘")
	look("cancel", "one").has(t, 1, "Free disk space", "MISCONF")
}

// TestCommandsTellWhyRedisRefusesWrites: a command that changes something says the remedy
// in one sentence, whatever it wanted to write.
func TestCommandsTellWhyRedisRefusesWrites(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		setting, value, en, zh string
	}{
		{"min-replicas-to-write", "2", "min-replicas-to-write (NOREPLICAS", "副本不足"},
		{"maxmemory", "1", "Raise its maxmemory", "请调大 maxmemory"},
	} {
		server := redistest.Start(t)
		env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
		asked(t, env, sendArgs("one")...).has(t, 0)
		check(t, server.Client(t).ConfigSet(t.Context(), tt.setting, tt.value).Err())
		for _, args := range [][]string{
			{"cancel", "one"},
			{"dead", "retry", "one"},
			{"suppress", "add", "oABC0000000000000000000002"},
			{"enroll", "erase", "--user", "u"},
			{"api", "keys", "create", "--name", "till"},
			{"webhooks", "add", "https://shop.example/hook"},
			{"queues", "pause", "bulk"},
		} {
			r := asked(t, env, args...)
			r.has(t, 1, tt.en)
			r.hasNot(t, "ledger:")
			asked(t, env, append(args, "--lang", "zh")...).has(t, 1, tt.zh)
		}
		asked(t, env, "status", "one").has(t, 0)
	}
}

// TestReasonsHoldNoPersonalData: what an operator writes as a reason is stored and shown masked.
func TestReasonsHoldNoPersonalData(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	const phone = "13812345678"
	var said strings.Builder
	for _, args := range [][]string{
		{"suppress", "add", "oABC0000000000000000000002", "--reason", "asked by " + phone},
		{"queues", "pause", "bulk", "--reason", "asked by " + phone},
		{"suppress", "list"},
		{"queues"},
		{"queues", "--output", "json"},
		{"audit"},
	} {
		r := asked(t, env, args...)
		r.has(t, 0)
		said.WriteString(r.stdout)
	}
	if trail := asked(t, env, "audit").stdout; strings.Count(trail, "asked by") != 1 { // an erasure does not reach it there
		t.Errorf("the audit trail has the reason of a suppression, or not that of a pause:\n%s", trail)
	}
	text := said.String() + strings.Join(redistest.Dump(t, server.Client(t)), "\n")
	if strings.Contains(text, phone) || !strings.Contains(text, "asked by") {
		t.Errorf("%s", text)
	}
}

// TestOpenIDsMayComeFromStdin: `ps` shows the arguments of a command to every user of
// the machine.
func TestOpenIDsMayComeFromStdin(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	env := map[string]string{"WXNOTIFY_REDIS_URL": server.URL(), "WXNOTIFY_APPID": "wxa"}
	const openid = "oStandardInput00000000000001"
	from := func(in string, args ...string) result {
		t.Helper()
		return runProcess(t, env, strings.NewReader(in), args...)
	}
	from(openid+"\r\n", "suppress", "add", "-").has(t, 0)
	from("", "suppress", "list", "--unmasked").has(t, 0, openid)
	from(openid, "suppress", "lift", "-").has(t, 0)
	from(openid, "enroll", "unbind", "--user", "u", "--openid", "-").has(t, 1, "nothing was bound")
	from(openid, "enroll", "erase", "--openid", "-").has(t, 1, "nothing of this person")
	for _, args := range [][]string{
		{"suppress", "add", "-"}, {"suppress", "lift", "-"}, {"enroll", "unbind", "--user", "u", "--openid", "-"}, {"enroll", "erase", "--openid", "-"},
	} {
		from(" \n", args...).has(t, 2, "standard input is empty")
	}
	from("", "enroll", "unbind", "--user", "u", "--openid", "").has(t, 2, "--openid is empty")
	from("", "enroll", "unbind").has(t, 2, "--user is missing")
	from("", "enroll", "unbind", "u").has(t, 2, "unbind takes flags alone; see `wxnotify enroll unbind --help`")
}

// --wait says why a message is not sent: once, for the first that was tried.
func TestWaitTellsTheReasonOfAMessageThatIsRetried(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	asked := 0
	s := &sendRun{app: &app{environment: environment{Stderr: &stderr}}, whyHeld: func(context.Context) { asked++ }}
	s.whyWaiting(t.Context(), []*producer.Status{
		nil,
		{ID: "m-0", State: producer.Rejected, Reason: "ended"},
		{ID: "m-1", State: producer.Queued},
		{ID: "m-2", State: producer.Retrying, Reason: "invalid-template-id", Remedy: "Check the template."},
		{ID: "m-3", State: producer.Retrying, Reason: "busy"},
	})
	if want := "wxnotify: warning: m-2: retrying: invalid-template-id; Check the template.\n"; stderr.String() != want || asked != 1 {
		t.Errorf("%q, want %q; workers asked for %d times", stderr.String(), want, asked)
	}
	stderr.Reset()
	s.whyWaiting(t.Context(), []*producer.Status{{ID: "m-3", State: producer.Retrying, Reason: "busy"}})
	if want := "wxnotify: warning: m-3: retrying: busy\n"; stderr.String() != want {
		t.Errorf("%q, want %q", stderr.String(), want)
	}
}
