package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

const (
	olderNames = "0b7de1a94f3c58826ed90c41f7a25b3381f46e0d9ac7ba5514e2098d3a6fc7b2"
	newerNames = "9e21b7cf80a4d36e1728fb4705ecd96a3b7f82e0941d5ac6f0736be8d124a65c"
)

func namesOf(t *testing.T, key string) *seal.Names {
	t.Helper()
	if key == "" {
		return nil
	}
	n, err := seal.NewNames(key, wechattest.AppID)
	check(t, err)
	return n
}

func namesIn(h *hospital, list ...string) map[string]string {
	env := maps.Clone(h.env)
	env["WXNOTIFY_SEAL_NAME_KEYS"] = strings.Join(list, ",")
	return env
}

// convert runs the conversion as the command does, without its checks.
func convert(ctx context.Context, rdb redis.UniversalClient, from, to *seal.Names) error {
	c, err := names.Begin(ctx, rdb, wechattest.AppID, from, to)
	if err != nil {
		return err
	}
	return convertNames(ctx, rdb, wechattest.AppID, c)
}

// state is all that Redis has, but for the marks and fences of conversions, and for what the
// index has of messages without a record: a conversion does not know whom they name.
func state(t *testing.T, rdb *redis.Client) map[string][]string {
	t.Helper()
	all := contents(t, rdb)
	for key, texts := range all {
		if strings.HasSuffix(key, "}:names") || len(texts) == 2 && strings.HasPrefix(texts[1], "names are sealed") {
			delete(all, key)
			continue
		}
		texts = slices.DeleteFunc(texts, func(s string) bool { return strings.Contains(key, "}:ix:") && strings.Contains(s, "orphan") })
		slices.Sort(texts[1:])
		all[key] = texts
	}
	return all
}

var traced = []string{erasedOpenID, erasedUnionID, erasedUser, otherOpenID, otherUser}

// With sealed names nothing in Redis names a person, in no form, in whatever state
// messages, tickets, events and notes are. Back in clear everything is as it was.
func TestConvertedNamesAreNowhereAndComeBack(t *testing.T) {
	t.Parallel()
	h := newHospital(t, newerSeal)
	h.everywhere()
	check(t, h.rdb.HSet(t.Context(), "wxn:{"+wechattest.AppID+"}:erasing", "o:"+otherOpenID, "by-admin 0-0 x", "u:"+otherUser, "by-admin 0-0 y").Err())
	check(t, h.rdb.HSet(t.Context(), "wxn:{"+wechattest.AppID+"}:sync", "next", otherOpenID, "cursor", "17 "+otherUser).Err())
	check(t, h.rdb.Set(t.Context(), "wxn:{"+wechattest.AppID+"}:z:"+otherOpenID, "1 0-0 1", time.Hour).Err())
	before := state(t, h.rdb)
	if len(naming(t, h.rdb, traced...)) == 0 {
		t.Fatal("the scan finds no name in clear")
	}
	older, newer := namesOf(t, olderNames), namesOf(t, newerNames)
	for i, step := range [][2]*seal.Names{{nil, older}, {older, newer}, {newer, older}, {older, nil}, {nil, newer}} {
		check(t, convert(t.Context(), h.rdb, step[0], step[1]))
		found := naming(t, h.rdb, traced...)
		if step[1] != nil && len(found) != 0 {
			t.Errorf("step %d: Redis has names:\n%s", i, strings.Join(found, "\n"))
		}
		check(t, names.Check(t.Context(), h.rdb, wechattest.AppID, step[1]))
		if step[1] == nil {
			if diff := cmp.Diff(before, state(t, h.rdb)); diff != "" {
				t.Errorf("back in clear (-before +after):\n%s", diff)
			}
		}
	}
}

// stopping fails every command from the nth on.
type stopping struct{ left int }

var errStopped = errors.New("killed")

func (s *stopping) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s *stopping) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.left--; s.left < 0 {
			cmd.SetErr(errStopped)
			return errStopped
		}
		return next(ctx, cmd)
	}
}

func (s *stopping) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if s.left--; s.left < 0 {
			for _, cmd := range cmds {
				cmd.SetErr(errStopped)
			}
			return errStopped
		}
		return next(ctx, cmds)
	}
}

// A conversion that is killed at any of its commands keeps every process out, and is
// complete after it was run again.
func TestAConversionThatIsKilledIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	h := newHospital(t, newerSeal)
	h.everywhere()
	ways := []*seal.Names{nil, namesOf(t, olderNames), namesOf(t, newerNames)}
	want := make([]map[string][]string, len(ways)) // what Redis has in each way
	for i := range ways {
		want[i] = state(t, h.rdb)
		check(t, convert(t.Context(), h.rdb, ways[i], ways[(i+1)%len(ways)]))
	}
	at, complete, step := 0, 0, 1
	if testing.Short() {
		step = 5
	}
	for n := 1; complete < len(ways); n += step {
		from, to := ways[at], ways[(at+1)%len(ways)]
		rdb := redis.NewClient(h.rdb.Options())
		rdb.AddHook(&stopping{n})
		err := convert(t.Context(), rdb, from, to)
		_ = rdb.Close()
		if err == nil {
			complete++
		} else {
			complete = 0
			if !errors.Is(err, errStopped) {
				t.Fatalf("killed at command %d: %v", n, err)
			}
			if key, begun, _ := names.Read(t.Context(), h.rdb, wechattest.AppID); begun != "" || key != to.KeyID() { // else its answer was lost
				if begun != "" {
					for _, way := range ways {
						if err := names.Check(t.Context(), h.rdb, wechattest.AppID, way); !errors.Is(err, names.ErrMixed) {
							t.Fatalf("killed at command %d: a process starts: %v", n, err)
						}
					}
				}
				check(t, convert(t.Context(), h.rdb, from, to))
			}
		}
		at = (at + 1) % len(ways)
		if diff := cmp.Diff(want[at], state(t, h.rdb)); diff != "" {
			t.Fatalf("killed at command %d (-want +got):\n%s", n, diff)
		}
	}
}

// The command refuses while processes are alive, and each process that would seal in
// another way.
func TestSealNamesCommand(t *testing.T) {
	t.Parallel()
	h := newHospital(t, newerSeal)
	h.everywhere()
	h.env["WXNOTIFY_APPSECRET"], h.env["WXNOTIFY_OPS_ADDR"] = wechattest.AppSecret, "-"
	h.env["WXNOTIFY_API_ADDR"], h.env["WXNOTIFY_PUBLIC_ADDR"] = "127.0.0.1:0", "127.0.0.1:0"
	h.env["WXNOTIFY_WECHAT_BASE_URL"] = "http://127.0.0.1:9"
	plain, sealed := h.env, namesIn(h, olderNames)
	id := namesOf(t, olderNames).KeyID()
	inProcess(t, plain, "seal", "names").has(t, 2, "set WXNOTIFY_SEAL_NAME_KEYS")
	inProcess(t, sealed, "queues").has(t, 2, "they are in clear there, and WXNOTIFY_SEAL_NAME_KEYS has key "+id, "wxnotify seal names")

	check(t, h.rdb.XGroupDelConsumer(t.Context(), "wxn:{"+wechattest.AppID+"}:in", "enroll", "dead").Err())
	beat := heartbeat.NewReporter(h.rdb, wechattest.AppID, heartbeat.Worker{ID: "w1", Host: "host-1", Started: time.Now()})
	_, err := beat.Beat(t.Context(), nil)
	check(t, err)
	inProcess(t, sealed, "seal", "names").has(t, 1, "stop all its processes", "worker w1 (host-1)")
	check(t, beat.Leave(t.Context()))
	check(t, h.rdb.XGroupCreateConsumer(t.Context(), "wxn:{"+wechattest.AppID+"}:in", "enroll", "enroll-7").Err())
	inProcess(t, sealed, "seal", "names").has(t, 1, "enroll enroll-7")
	check(t, h.rdb.XGroupDelConsumer(t.Context(), "wxn:{"+wechattest.AppID+"}:in", "enroll", "enroll-7").Err())

	r := inProcess(t, sealed, "seal", "names")
	r.has(t, 0, "openids and users: "+id)
	inProcess(t, sealed, "seal", "names", "-o", "json").has(t, 0, `"key": "`+id+`", "converted": 0`)
	if found := naming(t, h.rdb, traced...); len(found) != 0 {
		t.Errorf("Redis has names:\n%s", strings.Join(found, "\n"))
	}
	for _, args := range [][]string{{"status", "queued"}, {"suppress", "list"}, {"worker"}, {"api"}, {"enroll"}, sendArgs("new")} {
		inProcess(t, plain, args...).has(t, 2, "they are sealed with key "+id+" there: set WXNOTIFY_SEAL_NAME_KEYS")
		inProcess(t, namesIn(h, newerNames), args...).has(t, 2, "put key "+id+" first")
	}
	inProcess(t, namesIn(h, newerNames), "seal", "names").has(t, 2, "sealed with key "+id+", which WXNOTIFY_SEAL_NAME_KEYS does not have")

	inProcess(t, sealed, "status", "queued").has(t, 0, "queued")
	inProcess(t, sealed, "messages", "--openid", erasedOpenID).has(t, 0, "queued", "scheduled", "archived")
	inProcess(t, sealed, "messages", "--user", erasedUser).has(t, 0, "queued-user")
	inProcess(t, sealed, "suppress", "list").has(t, 0, wechat.MaskOpenID(erasedOpenID))
	inProcess(t, sealed, "suppress", "add", otherOpenID, "--reason", "asked").has(t, 0)

	inProcess(t, namesIn(h, newerNames, olderNames), "seal", "names").has(t, 0, namesOf(t, newerNames).KeyID())
	rotated := namesIn(h, newerNames)
	inProcess(t, rotated, "enroll", "erase", "--user", erasedUser).has(t, 0, "erased: bindings 1")
	gone := []string{}
	for _, name := range []string{erasedOpenID, erasedUser, erasedUnionID} {
		for _, kind := range []seal.Kind{seal.OpenID, seal.User, seal.UnionID} {
			gone = append(gone, namesOf(t, newerNames).Seal(kind, name), namesOf(t, olderNames).Seal(kind, name))
		}
	}
	if found := naming(t, h.rdb, append(gone, erasedOpenID, erasedUser, erasedUnionID)...); len(found) != 0 {
		t.Errorf("after the erasure:\n%s", strings.Join(found, "\n"))
	}
	inProcess(t, rotated, "seal", "names", "--clear").has(t, 0, "in clear")
	inProcess(t, plain, "suppress", "list").has(t, 0, wechat.MaskOpenID(otherOpenID))
	inProcess(t, rotated, "queues").has(t, 2, "they are in clear there")
}

// A process that was running through a conversion writes and sends nothing in its old way.
func TestAProcessThatMissedAConversionIsStopped(t *testing.T) {
	t.Parallel()
	h := newHospital(t, newerSeal)
	h.everywhere()
	check(t, convert(t.Context(), h.rdb, nil, namesOf(t, olderNames)))
	before := state(t, h.rdb)
	ctx := t.Context()
	for what, do := range map[string]func() error{
		"enqueue": func() error {
			p, err := producer.New(h.rdb, producer.Config{Account: wechattest.AppID, SealKeys: wechat.NewSecret(newerSeal)})
			check(t, err)
			defer func() { _ = p.Close() }()
			_, err = p.Enqueue(ctx, "late", h.message(otherOpenID))
			return err
		},
		"lift":     func() error { _, err := h.records.Lift(ctx, erasedOpenID, ""); return err },
		"suppress": func() error { return h.records.Unsubscribed(ctx, otherOpenID) },
		"follow":   func() error { _, err := h.records.Subscribed(ctx, erasedOpenID); return err },
		"unbind":   func() error { _, err := h.roster.Unbind(ctx, otherUser, otherOpenID); return err },
		"count":    func() error { _, err := h.roster.Count(ctx); return err },
	} {
		if err := do(); err == nil {
			t.Errorf("%s: done", what)
		} else if !strings.Contains(err.Error(), "SealNameKeys") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if diff := cmp.Diff(before, state(t, h.rdb)); diff != "" {
		t.Errorf("something was written (-before +after):\n%s", diff)
	}
	for _, id := range []string{"scheduled", "scheduled-user"} { // their records are there
		m, _ := h.envelope(id, "default")
		if strings.HasSuffix(id, "-user") {
			m.To, m.User = "", erasedUser
		}
		list, err := h.records.Get(ctx, id)
		check(t, err)
		m.Fingerprint = list[0].Hash
		h.number++
		if s, err := h.records.Begin(ctx, m, ledger.Delivery{N: h.number}); err == nil {
			t.Errorf("%s: Begin decides %s", id, s.Decision)
		}
	}
}

// A new account gets the mark by its first process; without the keys of messages there is
// no use.
func TestNamesOfANewAccountAreSealedFromTheStart(t *testing.T) {
	t.Parallel()
	h := newHospital(t, newerSeal)
	sealed := namesIn(h, olderNames)
	without := namesIn(h, olderNames)
	without["WXNOTIFY_SEAL_KEYS"] = ""
	inProcess(t, without, "queues").has(t, 2, "WXNOTIFY_SEAL_NAME_KEYS", "needs WXNOTIFY_SEAL_KEYS")
	inProcess(t, sealed, "queues").has(t, 0)
	p, err := producer.New(h.rdb, producer.Config{Account: wechattest.AppID, SealKeys: wechat.NewSecret(newerSeal), SealNameKeys: wechat.NewSecret(olderNames)})
	check(t, err)
	t.Cleanup(func() { _ = p.Close() })
	_, err = p.Enqueue(t.Context(), "m1", h.message(erasedOpenID))
	check(t, err)
	inProcess(t, sealed, "suppress", "add", erasedOpenID, "--reason", "asked").has(t, 0)
	if found := naming(t, h.rdb, traced...); len(found) != 0 {
		t.Errorf("Redis has names:\n%s", strings.Join(found, "\n"))
	}
	inProcess(t, h.env, "queues").has(t, 2, "they are sealed with key "+namesOf(t, olderNames).KeyID())
	if _, err := h.p.Enqueue(t.Context(), "m2", h.message(otherOpenID)); !errors.Is(err, names.ErrMixed) {
		t.Errorf("a producer in clear: %v", err)
	}
	_, err = producer.New(h.rdb, producer.Config{Account: wechattest.AppID, SealNameKeys: wechat.NewSecret(olderNames)})
	if err == nil || !strings.Contains(err.Error(), "Config.SealNameKeys: needs Config.SealKeys") {
		t.Errorf("without SealKeys: %v", err)
	}
}

// The whole way with sealed names and real processes: imported, sent, delivered; found;
// suppressed by an event, lifted by the next; exported, erased. At no point does Redis name
// the person.
func TestTheWholeStoryWithSealedNames(t *testing.T) {
	t.Parallel()
	w := publicWorld(t)
	w.env = w.with("WXNOTIFY_SEAL_KEYS", newerSeal, "WXNOTIFY_SEAL_NAME_KEYS", olderNames)
	rdb := redis.NewClient(adminOptions(t, w.env["WXNOTIFY_REDIS_URL"]))
	defer func() { _ = rdb.Close() }()
	unnamed := func(when string) {
		t.Helper()
		if n, err := rdb.DBSize(t.Context()).Result(); err != nil || n == 0 {
			t.Fatalf("%s the scan reads nothing: %v", when, err)
		}
		if found := naming(t, rdb, storyOpenID, "patient-401"); len(found) != 0 {
			t.Errorf("%s Redis has names:\n%s", when, strings.Join(found, "\n"))
		}
	}
	w.follower(t, "subscribe")
	w.run(t, "enroll", "import", testutil.File(t, "users.csv", "user,openid\npatient-401,"+storyOpenID+"\n"))
	serve := start(t, w.env, "serve")
	serve.says(t, "enroll started")
	w.control(t, "POST", "/_sim/callback/verify", nil, nil)
	unnamed("after the import")
	w.toUser(t, "lab-1")
	w.state(t, "lab-1", "delivered")
	unnamed("after the receipt")
	for _, q := range [][]string{{"--user", "patient-401"}, {"--openid", storyOpenID}} {
		if found := w.run(t, append([]string{"messages"}, q...)...); !strings.Contains(found, "lab-1") {
			t.Errorf("%q finds %s", q, found)
		}
	}
	w.follower(t, "unsubscribe")
	testutil.Until(t, "suppressed", func() bool { return strings.Contains(w.run(t, "suppress", "list"), "unsubscribed") })
	unnamed("while suppressed")
	w.toUser(t, "lab-2")
	w.state(t, "lab-2", "rejected")
	w.follower(t, "subscribe")
	testutil.Until(t, "lifted", func() bool { return w.run(t, "suppress", "list") == "" })
	w.toUser(t, "lab-3")
	w.state(t, "lab-3", "delivered")
	if whole := w.run(t, "enroll", "export"); !strings.Contains(whole, "patient-401") || !strings.Contains(whole, storyOpenID) {
		t.Errorf("export: %s", whole)
	}
	if list := w.run(t, "events", "-o", "json"); !strings.Contains(list, "user.unfollowed") || strings.Contains(list, "~") {
		t.Errorf("events: %s", list)
	}
	unnamed("before the erasure")
	w.erased(t)
	gone := namesOf(t, olderNames)
	if found := naming(t, rdb, gone.Seal(seal.OpenID, storyOpenID), gone.Seal(seal.User, "patient-401")); len(found) != 0 {
		t.Errorf("after the erasure:\n%s", strings.Join(found, "\n"))
	}
	if code := serve.terminate(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// adminOptions are those of the server's own user, who may read all of it.
func adminOptions(t *testing.T, address string) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(address)
	check(t, err)
	o.Username, o.Password = "", ""
	return o
}
