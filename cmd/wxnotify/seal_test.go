package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	olderSeal = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
	newerSeal = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
)

// keyID is the ID of a key as commands print it.
func keyID(t *testing.T, key string) string {
	t.Helper()
	k, err := seal.New(key)
	check(t, err)
	return k.Current()
}

// The whole rotation: switched on with messages that wait in clear, then another key, and
// the first one goes. Nothing is lost, and Redis shows no value from then on.
func TestSealIsSwitchedOnAndRotated(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.UserURL(t))
	rdb := server.Client(t)
	keys := func(list ...string) map[string]string { return w.with("WXNOTIFY_SEAL_KEYS", strings.Join(list, ",")) }
	inProcess(t, w.env, "seal", "rotate").has(t, 2, "set WXNOTIFY_SEAL_KEYS")
	inProcess(t, w.env, sendArgs("clear-1")...).has(t, 0)
	older, newer := keyID(t, olderSeal), keyID(t, newerSeal)
	inProcess(t, keys(olderSeal), sendArgs("older-1")...).has(t, 0)
	inProcess(t, keys(olderSeal), sendArgs("older-2", "--not-before", "1h")...).has(t, 0)
	died(t, w, server, "dead-1")

	inProcess(t, keys(newerSeal, olderSeal), "seal").has(t, 0,
		newer+" seals 0 waiting 0 kept", older+" opens 2 waiting 1 kept", "- in clear 1 waiting 0 kept")
	inProcess(t, keys(newerSeal), "seal", "rotate").has(t, 1, "sealed with key "+older, "WXNOTIFY_SEAL_KEYS", "messages sealed with key "+newer+": 1")
	inProcess(t, keys(newerSeal, olderSeal), "seal", "rotate").has(t, 0, "messages sealed with key "+newer+": 3")
	inProcess(t, keys(newerSeal, olderSeal), "seal", "rotate", "--output", "json").has(t, 0,
		`"key": "`+newer+`", "sealed": 0, "unreadable": 0`)
	inProcess(t, keys(newerSeal, olderSeal), "seal", "status").has(t, 0, newer+" seals 3 waiting 1 kept", older+" opens 0 waiting 0 kept", "in clear 0 waiting")
	inProcess(t, w.env, "seal", "status", "--output", "json").has(t, 0, `"key": "`+newer+`", "use": "missing", "waiting": 3, "kept": 1`)
	if found := naming(t, rdb, "咖啡", "司康"); len(found) != 0 {
		t.Errorf("Redis still shows values: %v", found)
	}

	inProcess(t, w.env, "cancel", "older-2").has(t, 0) // needs no key
	inProcess(t, w.env, "status", "older-2").has(t, 0, "cancelled")
	inProcess(t, keys(newerSeal), "dead", "retry", "dead-1").has(t, 0)
	inProcess(t, keys(newerSeal, olderSeal), sendArgs("older-1")...).has(t, 0) // a repeated call
	worker := start(t, keys(newerSeal), "worker")
	worker.says(t, "worker started")
	for _, id := range []string{"clear-1", "older-1", "dead-1"} {
		testutil.Until(t, id+" is accepted", func() bool {
			return strings.Contains(inProcess(t, w.env, "status", id).stdout, "accepted")
		})
	}
	inProcess(t, keys(newerSeal), "config").hasNot(t, newerSeal[:12])
	inProcess(t, keys(newerSeal, newerSeal[:60]), "config").hasNot(t, newerSeal[:12])
}

// died gives up a message that was sealed with the older key.
func died(t *testing.T, w *world, server *redistest.Server, id string) {
	t.Helper()
	inProcess(t, w.with("WXNOTIFY_SEAL_KEYS", olderSeal), sendArgs(id)...).has(t, 0)
	rdb := server.Client(t)
	tasks := queue.NewInspector(rdb)
	task, err := tasks.Task(t.Context(), wechattest.AppID, producer.Default, id)
	check(t, err)
	check(t, tasks.Delete(t.Context(), wechattest.AppID, producer.Default, id))
	records, err := ledger.New(rdb, wechattest.AppID, nil, ledger.Config{})
	check(t, err)
	check(t, records.Failed(t.Context(), id, 1, ledger.Outcome{State: ledger.Dead, Class: producer.Default, Attempt: true, Payload: task.Payload}))
	check(t, records.Close())
}

// A worker that lacks the key says so on /readyz and leaves the message. With the key in
// its file, a SIGHUP is enough.
func TestAKeyComesWithAReload(t *testing.T) {
	t.Parallel()
	file := testutil.File(t, "seal-keys", olderSeal+"\n")
	text := reloadHead + "seal_keys_file: " + file + "\naccounts:\n{" + reloadA + "}"
	w := newReloading(t, "worker", text)
	p, err := producer.New(w.rdb, producer.Config{Account: reloadA, SealKeys: wechat.NewSecret(newerSeal)})
	check(t, err)
	t.Cleanup(func() { _ = p.Close() })
	check(t, send(t, p, "waits"))
	ready := func() (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.ops+"/readyz", http.NoBody)
		check(t, err)
		req.SetBasicAuth("boss", "first-password")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	testutil.Until(t, "/readyz names the key", func() bool {
		code, body := ready()
		return code == http.StatusServiceUnavailable && strings.Contains(body, keyID(t, newerSeal)) && strings.Contains(body, "WXNOTIFY_SEAL_KEYS")
	})
	s, err := p.Status(t.Context(), "waits")
	check(t, err)
	if s.State != producer.Queued {
		t.Errorf("the message is %s", s.State)
	}
	check(t, os.WriteFile(file, []byte(olderSeal+"\n"+newerSeal+"\n"), 0o600))
	w.reload(t, text)
	testutil.Until(t, "the message is accepted", func() bool {
		s, err := p.Status(t.Context(), "waits")
		return err == nil && s.State == producer.Accepted
	})
	testutil.Until(t, "/readyz is well", func() bool {
		code, _ := ready()
		return code == http.StatusOK
	})
	if strings.Contains(w.log.String(), newerSeal[:8]) {
		t.Error("the log shows the key")
	}
}

func TestSealKeysOfASettingAreCheckedAndNotShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		newerSeal[:60]: "WXNOTIFY_SEAL_KEYS: key 1 of 1 is not 64 hexadecimal digits but a text of 60 bytes: make one with `openssl rand -hex 32`",
		newerSeal + "," + strings.Repeat("0", 64): "WXNOTIFY_SEAL_KEYS: key 2 of 2 is not random",
		newerSeal + "," + newerSeal:               "WXNOTIFY_SEAL_KEYS: key 2 of 2 is there twice",
	} {
		r := inProcess(t, map[string]string{"WXNOTIFY_SEAL_KEYS": text}, "config", "check")
		r.has(t, 2, want)
		r.hasNot(t, newerSeal[:12])
	}
}

// An ID that is made of the content would confirm a guess of it, so that send makes none
// for the messages of a file.
func TestASealedMessageOfAFileNeedsAnID(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_SEAL_KEYS": newerSeal}
	message := `"message":{"touser":"oCommand000000000000000000001","template_id":"` + wechattest.TemplateOrderPaid + `","data":{"thing1":{"value":"x"}}}}` + "\n"
	args := []string{"send", "--dry-run", "--json", testutil.File(t, "messages.ndjson", "{"+message)}
	inProcess(t, env, args...).has(t, 1, "id is missing", "WXNOTIFY_SEAL_KEYS")
	inProcess(t, env, "send", "--dry-run", "--json", testutil.File(t, "named.ndjson", `{"id":"visit-1",`+message)).has(t, 0, "visit-1")
	delete(env, "WXNOTIFY_SEAL_KEYS")
	inProcess(t, env, args...).has(t, 0)
}

// In whatever state messages are, a Redis whose messages are sealed shows no text of
// them and confirms no guess; and a person is erased from it as from another one.
func TestSealedMessagesShowNoTextInAnyState(t *testing.T) {
	t.Parallel()
	h := newHospital(t, newerSeal)
	h.everywhere()
	look := func(when string) {
		t.Helper()
		if found := naming(t, h.rdb, erasedText, erasedPhone); len(found) != 0 {
			t.Errorf("%s, the text of messages:\n%s", when, strings.Join(found, "\n"))
		}
		h.noGuessIsConfirmed()
	}
	look("before")
	payloads := func() (left []string) {
		for key := range contents(t, h.rdb) {
			if _, id, task := strings.Cut(key, "}:t:"); task && strings.HasPrefix(key, "asynq:") || strings.Contains(key, "}:p:") {
				left = append(left, id)
			}
		}
		return left
	}
	if n := len(payloads()); n < 12 {
		t.Fatalf("%d payloads: the test tests nothing", n)
	}
	inProcess(t, h.env, "seal", "status").has(t, 0, "in clear 0 waiting 0 kept")
	inProcess(t, h.env, "enroll", "erase", "--openid", erasedOpenID).has(t, 0, "erased: bindings 1")
	look("after the erasure")
	if left := payloads(); len(left) != 1 || left[0] != "other" {
		t.Errorf("payloads after the erasure: %v", left)
	}
	if found := naming(t, h.rdb, erasedOpenID, erasedUnionID, erasedUser); len(found) != 0 {
		t.Errorf("after the erasure:\n%s", strings.Join(found, "\n"))
	}
}

// Messages that come by the HTTP API and by the gateway are sealed, too.
func TestMessagesByTheAPIAndTheGatewayAreSealed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	addr := testutil.FreeAddr(t)
	w := newWorld(t, server.UserURL(t))
	env := w.with("WXNOTIFY_API_ADDR", addr, "WXNOTIFY_GATEWAY", "true", "WXNOTIFY_SEAL_KEYS", newerSeal, "WXNOTIFY_PUBLIC_ADDR", testutil.FreeAddr(t))
	start(t, env, "api").says(t, "api started")
	_, key := newKey(t, env, "--scopes", "gateway,send,read")
	const value = "DiagnosisInfluenza"
	message := `{"touser":"oCommand000000000000000000001","template_id":"T1","client_msg_id":"ID","data":{"thing1":{"value":"` + value + `"}}}`
	for range 2 { // the repeated call is known by its fingerprint
		a := ask(t, "POST", "http://"+addr+"/v1/messages", key, `{"id":"by-api","message":`+strings.Replace(message, `"client_msg_id":"ID",`, "", 1)+`}`)
		if a.status != http.StatusAccepted && a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	token := ask(t, "GET", "http://"+addr+"/cgi-bin/token?grant_type=client_credential&appid="+wechattest.AppID+"&secret="+key, "", "")
	access, _ := token.field(t, "access_token").(string)
	a := ask(t, "POST", "http://"+addr+"/cgi-bin/message/template/send?access_token="+access, "", strings.Replace(message, "ID", "by-gateway", 1))
	if a.field(t, "errcode") != 0.0 {
		t.Fatalf("%s", a.body)
	}
	if found := naming(t, server.Client(t), value); len(found) != 0 {
		t.Errorf("Redis shows values: %v", found)
	}
	inProcess(t, env, "seal").has(t, 0, "seals 2 waiting 0 kept")
}
