package main

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// The person that is erased, and another one who stays.
const (
	erasedUser    = "patient-401-zhang"
	erasedOpenID  = "oERASED_Qk4pLmNb0TzYw8dEf0a1"
	erasedUnionID = "oUNIONx_Qk4pLmNb0TzYw8dEf0a1"
	erasedPhone   = "13800004567"
	erasedText    = "司马相如的化验单"
	otherUser     = "patient-402-wang"
	otherOpenID   = "oOTHER_aQk4pLmNb0TzYw8dEf0a1"
	eraseKey      = "canary0enroll0key0canary0enroll0key"
)

func scanned(t *testing.T) *redis.Client {
	t.Helper()
	return redistest.Start(t).Client(t)
}

// hospital is a Redis in which a person has left traces in every state.
type hospital struct {
	t       *testing.T
	rdb     *redis.Client
	p       *producer.Producer
	roster  *enroll.Roster
	records *ledger.Ledger
	env     map[string]string
	codec   job.Codec
	number  int64
}

// newHospital's messages are sealed with the keys, if there are any.
func newHospital(t *testing.T, keys ...string) *hospital {
	t.Helper()
	server := redistest.Start(t)
	h := &hospital{t: t, rdb: server.Client(t)}
	text := strings.Join(keys, ",")
	var err error
	h.p, err = producer.New(h.rdb, producer.Config{Account: wechattest.AppID, SealKeys: wechat.NewSecret(text)})
	check(t, err)
	t.Cleanup(func() { _ = h.p.Close() })
	ring, err := seal.New(text)
	check(t, err)
	h.codec = job.NewCodec(wechattest.AppID, ring)
	h.roster, err = enroll.NewRoster(enroll.RosterConfig{Redis: h.rdb, Account: wechattest.AppID})
	check(t, err)
	h.records, err = ledger.New(h.rdb, wechattest.AppID, nil, ledger.Config{Resend: []job.Class{job.Critical}})
	check(t, err)
	t.Cleanup(func() { _ = h.records.Close() })
	h.env = map[string]string{
		"WXNOTIFY_REDIS_URL": server.UserURL(t), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_ENROLL_KEY": eraseKey,
		"WXNOTIFY_PUBLIC_URL": "https://n.example", "WXNOTIFY_SEAL_KEYS": text,
	}
	return h
}

func (h *hospital) message(to string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{ToUser: to, TemplateID: "T", Data: map[string]wechat.Field{
		"thing1": {Value: erasedText}, "phone_number2": {Value: erasedPhone},
	}}
}

// enqueue puts a message on its queue.
func (h *hospital) enqueue(id, to string, options ...producer.Option) {
	h.t.Helper()
	m := h.message(to)
	if to == erasedUser || to == otherUser {
		m.ToUser, options = "", append(options, producer.ToUser(to))
	}
	_, err := h.p.Enqueue(h.t.Context(), id, m, options...)
	check(h.t, err)
}

func (h *hospital) envelope(id string, class job.Class) (job.Envelope, []byte) {
	h.t.Helper()
	body, err := json.Marshal(h.message(erasedOpenID))
	check(h.t, err)
	e := job.Envelope{ID: id, Class: class, To: erasedOpenID, Template: "T", QueuedAt: time.Now(), Body: body}
	payload, hash, err := h.codec.Encode(e)
	check(h.t, err)
	if h.codec.Keys().Seals() {
		e.Fingerprint = hash
	}
	return e, payload
}

// begin begins an attempt, as a worker does; its task is gone.
func (h *hospital) begin(id string, class job.Class) (payload []byte, number int64) {
	h.t.Helper()
	e, payload := h.envelope(id, class)
	h.number++
	_, err := h.records.Begin(h.t.Context(), e, ledger.Delivery{N: h.number})
	check(h.t, err)
	return payload, h.number
}

func (h *hospital) accept(id string, class job.Class, msgid wechat.MessageID) {
	h.t.Helper()
	payload, n := h.begin(id, class)
	_, err := h.records.Accepted(h.t.Context(), id, n, ledger.Acceptance{To: erasedOpenID, MsgID: msgid, Class: class, Payload: payload})
	check(h.t, err)
}

func (h *hospital) fail(id string, o ledger.Outcome) {
	h.t.Helper()
	payload, n := h.begin(id, job.Default)
	o.To, o.Class = erasedOpenID, job.Default
	if o.State == ledger.Dead {
		o.Payload = payload
	}
	check(h.t, h.records.Failed(h.t.Context(), id, n, o))
}

func (h *hospital) receipt(msgid wechat.MessageID, status string) {
	h.t.Helper()
	_, err := h.records.Receipt(h.t.Context(), ledger.Receipt{MsgID: msgid, OpenID: erasedOpenID, Status: status})
	check(h.t, err)
}

// bind binds by a new ticket, whose state it leaves as if the link had been opened.
func (h *hospital) bind(user, openid string) {
	h.t.Helper()
	sealer, err := ticket.NewSealer([]byte(eraseKey), wechattest.AppID)
	check(h.t, err)
	text, id := sealer.Seal(ticket.Ticket{User: user, ExpiresAt: time.Now().Add(time.Hour)})
	t, err := sealer.Open(text, time.Now())
	check(h.t, err)
	check(h.t, h.rdb.HSet(h.t.Context(), ticket.Key(wechattest.AppID, id), "s", text).Err())
	check(h.t, h.rdb.Set(h.t.Context(), "wxn:{"+wechattest.AppID+"}:q:"+id.String(), "http://weixin.qq.com/q/x", time.Hour).Err())
	b := enroll.Binding{User: user, OpenID: openid, How: enroll.ByOAuth}
	if openid == erasedOpenID {
		b.UnionID = erasedUnionID
	}
	_, err = h.roster.Bind(h.t.Context(), b, &t)
	check(h.t, err)
}

// event waits in the inbox, new or taken by a process that has ended.
func (h *hospital) event(fields string) {
	h.t.Helper()
	check(h.t, h.rdb.XAdd(h.t.Context(), &redis.XAddArgs{Stream: "wxn:{" + wechattest.AppID + "}:in", Values: []any{"e", fields}}).Err())
}

// everywhere leaves a trace in each state, and the other person's where it can.
func (h *hospital) everywhere() {
	ctx, t := h.t.Context(), h.t
	h.bind(erasedUser, erasedOpenID)
	h.bind(otherUser, otherOpenID)
	check(t, events.Publish(ctx, h.records, events.UserBound, events.Person{User: erasedUser, OpenID: erasedOpenID}))
	link, err := h.p.HandOff(ctx, producer.Enrollment{
		PublicURL: "https://n.example", Account: wechattest.AppID, Key: wechat.NewSecret(eraseKey), User: erasedUser,
	}, producer.HandOff{Data: map[string]string{"phone": erasedPhone}})
	check(t, err)
	if u, err := url.Parse(link); err != nil || u.Query().Get("ticket") == "" {
		t.Fatalf("%s: %v", link, err)
	}

	h.enqueue("queued", erasedOpenID)
	h.enqueue("queued-user", erasedUser)
	h.enqueue("scheduled", erasedOpenID, producer.NotBefore(time.Now().Add(time.Hour)))
	h.enqueue("scheduled-user", erasedUser, producer.NotBefore(time.Now().Add(time.Hour)))
	h.enqueue("other", otherOpenID)
	h.enqueue("archived", erasedOpenID, producer.Class(producer.Bulk))
	check(t, asynq.NewInspectorFromRedisClient(h.rdb).ArchiveTask(queue.Name(wechattest.AppID, job.Bulk), "archived"))
	h.enqueue("retrying", erasedOpenID, producer.Class(producer.Bulk))
	h.move("retrying", "pending", "retry")
	h.enqueue("completed", erasedOpenID, producer.Class(producer.Bulk))
	h.move("completed", "pending", "completed")
	h.enqueue("orphan", erasedOpenID, producer.Class(producer.Critical))
	h.enqueue("orphan-user", erasedUser, producer.Class(producer.Critical))
	check(t, h.rdb.Del(ctx, "wxn:{"+wechattest.AppID+"}:m:orphan", "wxn:{"+wechattest.AppID+"}:m:orphan-user").Err())

	h.begin("sending", job.Default) // its worker was killed, and its task was lost
	h.accept("accepted", job.Critical, 1)
	h.accept("delivered", job.Default, 2)
	h.receipt(2, "success")
	h.accept("blocked", job.Default, 3)
	h.receipt(3, "failed:user block")
	h.accept("resent", job.Critical, 4)
	h.receipt(4, "failed: system failed")
	h.receipt(5, "success") // before its acceptance
	h.fail("rejected", ledger.Outcome{State: ledger.Rejected, Reason: "argument invalid"})
	h.fail("dead", ledger.Outcome{State: ledger.Dead, Attempt: true})
	h.fail("unknown", ledger.Outcome{State: ledger.Unknown, Ambiguous: true})
	h.fail("retried", ledger.Outcome{State: ledger.Retrying, Ambiguous: true})
	check(t, h.records.Suppress(ctx, ledger.Suppression{OpenID: erasedOpenID, Template: "T2", Reason: "refused", ByAdmin: true}))

	h.event(`{"e":"SCAN","o":"` + erasedOpenID + `","t":1}`)
	h.event(`{"e":"TEMPLATESENDJOBFINISH","o":"` + erasedOpenID + `","m":"9","s":"success"}`)
	h.event(`{"e":"SCAN","o":"` + otherOpenID + `","t":1}`)
	inbox := "wxn:{" + wechattest.AppID + "}:in"
	check(t, h.rdb.XGroupCreateMkStream(ctx, inbox, "enroll", "0").Err())
	check(t, h.rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "enroll", Consumer: "dead", Streams: []string{inbox, ">"}, Count: 2}).Err())
	h.event(`{"e":"user_authorization_revoke","o":"gh_1","w":"` + erasedOpenID + `"}`)
	check(t, h.rdb.XAdd(ctx, &redis.XAddArgs{Stream: "wxn:{" + wechattest.AppID + "}:changes", Values: []any{
		"kind", "rebound", "user", erasedUser, "openid", erasedOpenID, "previous", "", "how", "oauth", "at", "1",
	}}).Err())
}

// move puts a task of class bulk into another of asynq's states.
func (h *hospital) move(id, from, to string) {
	h.t.Helper()
	q := "asynq:{" + queue.Name(wechattest.AppID, job.Bulk) + "}:"
	pipe := h.rdb.Pipeline()
	pipe.LRem(h.t.Context(), q+from, 1, id)
	pipe.HSet(h.t.Context(), q+"t:"+id, "state", to)
	pipe.ZAdd(h.t.Context(), q+to, redis.Z{Member: id, Score: float64(time.Now().Add(time.Hour).Unix())})
	_, err := pipe.Exec(h.t.Context())
	check(h.t, err)
}

// Nothing names the person after the erasure: no key, no value, no hash of openid,
// unionid, user, phone or text, whatever state messages, tickets and events were in.
func TestErasureLeavesNothingOfAPerson(t *testing.T) {
	t.Parallel()
	person := []string{erasedOpenID, erasedUnionID, erasedUser}
	for name, who := range map[string][]string{"by user": {"--user", erasedUser}, "by openid": {"--openid", erasedOpenID}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			h.everywhere()
			before := naming(t, h.rdb, person...)
			want := []string{"a", "changes", "events", "in", "k", "m", "o", "p", "roster", "sup", "supt", "supz", "t", "user"}
			if diff := cmp.Diff(want, kinds(before)); diff != "" {
				t.Fatalf("the scan does not find the person where it should (-want +got):\n%s\n%q", diff, before)
			}
			others := kinds(naming(t, h.rdb, otherOpenID, otherUser))
			for _, id := range []string{"archived", "retrying", "completed", "orphan", "scheduled", "queued"} {
				if !slices.ContainsFunc(before, func(f string) bool { return strings.Contains(f, "}:t:"+id+": ") }) {
					t.Errorf("the scan does not find the task %s before the erasure", id)
				}
			}
			r := inProcess(t, h.env, append([]string{"enroll", "erase"}, who...)...)
			if r.code != exitDone || !strings.Contains(r.stdout, "erased: bindings 1") {
				t.Fatalf("exit %d: %s%s", r.code, r.stdout, r.stderr)
			}
			if found := naming(t, h.rdb, person...); len(found) != 0 {
				t.Errorf("after the erasure:\n%s", strings.Join(found, "\n"))
			}
			if diff := cmp.Diff(others, kinds(naming(t, h.rdb, otherOpenID, otherUser))); diff != "" {
				t.Errorf("the other person (-before +after):\n%s", diff)
			}
			check(t, h.p.Cancel(t.Context(), "other")) // whose text is the same
			if found := naming(t, h.rdb, erasedPhone, erasedText); len(found) != 0 {
				t.Errorf("the text of messages after the erasure:\n%s", strings.Join(found, "\n"))
			}
			h.noGuessIsConfirmed()
			if list, err := h.roster.Of(t.Context(), otherUser); err != nil || len(list) != 1 {
				t.Errorf("the other person: %v, %v", list, err)
			}
		})
	}
}

// noGuessIsConfirmed looks for the hash of a message's user and text.
func (h *hospital) noGuessIsConfirmed() {
	h.t.Helper()
	e, _ := h.envelope("queued", job.Default)
	e.Fingerprint = "" // a guess is made without the key
	user := e
	user.To, user.User = "", erasedUser
	for _, hash := range []string{e.Hash(), user.Hash()} {
		if found := naming(h.t, h.rdb, hash); len(found) != 0 {
			h.t.Errorf("a hash confirms a guess of the text: %q", found)
		}
	}
}

// After unbind, the user's messages still tell the openid: it is erased too. Of who is
// not known nothing is claimed.
func TestErasureOfAnUnboundUser(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.bind(erasedUser, erasedOpenID)
	h.enqueue("to-user", erasedUser)
	h.begin("straight", job.Default)
	e, _ := h.envelope("told", job.Default)
	e.To, e.User = "", erasedUser
	h.number++
	_, err := h.records.Begin(t.Context(), e, ledger.Delivery{N: h.number}) // resolves the openid
	check(t, err)
	check(t, h.records.Unsubscribed(t.Context(), erasedOpenID))
	if r := inProcess(t, h.env, "enroll", "unbind", "--user", erasedUser); r.code != exitDone {
		t.Fatalf("%+v", r)
	}
	r := inProcess(t, h.env, "enroll", "erase", "--user", erasedUser)
	if r.code != exitDone || !strings.Contains(r.stdout, "bindings 0") || !strings.Contains(r.stderr, "was not bound. 1 openids were found") {
		t.Errorf("%+v", r)
	}
	if found := naming(t, h.rdb, erasedOpenID, erasedUnionID, erasedUser, erasedPhone); len(found) != 0 {
		t.Errorf("after the erasure:\n%s", strings.Join(found, "\n"))
	}
	for _, who := range [][]string{{"--user", "nope"}, {"--openid", "oNOBODY_Qk4pLmNb0TzYw8dEf0a1"}} {
		r := inProcess(t, h.env, append([]string{"enroll", "erase"}, who...)...)
		if r.code != exitFailed || !strings.Contains(r.stderr, "nothing of this person was found") {
			t.Errorf("%v: %+v", who, r)
		}
	}
}

// An openid that another user has by now is that user's, though messages to the erased
// one went to it.
func TestErasureSparesAnOpenIDThatIsAnothersByNow(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	e, _ := h.envelope("told", job.Default)
	e.To, e.User = "", erasedUser
	h.bind(erasedUser, otherOpenID) // by the wrong person
	h.number++
	_, err := h.records.Begin(t.Context(), e, ledger.Delivery{N: h.number})
	check(t, err)
	_, err = h.roster.Unbind(t.Context(), erasedUser, "")
	check(t, err)
	h.bind(otherUser, otherOpenID)
	h.enqueue("others", otherUser)
	if r := inProcess(t, h.env, "enroll", "erase", "--user", erasedUser); r.code != exitDone {
		t.Errorf("%+v", r)
	}
	if list, err := h.roster.Of(t.Context(), otherUser); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if s, err := h.p.Status(t.Context(), "others"); err != nil || s.State != producer.Queued {
		t.Errorf("%+v, %v", s, err)
	}
	if found := naming(t, h.rdb, erasedUser); len(found) != 0 {
		t.Errorf("%q", found)
	}
}

// A message that is being sent: asynq's list of workers has no payload, the erasure
// waits for the attempt, and what its worker puts back does not stay.
func TestErasureWaitsForMessagesThatAreBeingSent(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t, server.URL(), "--any-template")
	rdb := server.Client(t)
	start(t, w.env, "worker")
	hang := map[string]any{"do": "hang", "delay": "8s"} // each attempt, for the first may be over before it is looked at
	w.control(t, "POST", "/_sim/script", map[string]any{"replies": slices.Repeat([]any{hang}, 100)}, nil)
	w.run(t, "send", "--to", erasedOpenID, "--template", "T", "--id", "in-flight", "--data", "thing1="+erasedText)
	w.state(t, "in-flight", "sending")
	testutil.Until(t, "asynq writes what the worker does", func() bool {
		return workersName(t, rdb, "in-flight")
	})
	if workersName(t, rdb, erasedOpenID) || workersName(t, rdb, erasedText) {
		t.Error("asynq:workers holds the message")
	}
	if found := naming(t, rdb, erasedOpenID); len(found) == 0 {
		t.Fatal("the scan does not find the person while the message is being sent")
	}
	w.run(t, "enroll", "erase", "--openid", erasedOpenID)
	if found := naming(t, rdb, erasedOpenID, erasedText); len(found) != 0 {
		t.Errorf("after the erasure:\n%s", strings.Join(found, "\n"))
	}
	if got := w.state(t, "in-flight", "unknown"); got["reason"] != ledger.ReasonErased {
		t.Errorf("%v", got)
	}
}

// workersName reports whether asynq's list of what workers do holds text.
func workersName(t *testing.T, rdb *redis.Client, text string) bool {
	t.Helper()
	return slices.ContainsFunc(naming(t, rdb, text), func(f string) bool { return strings.HasPrefix(f, "asynq:workers:") })
}

// What a person does after the erasure began, such as following again, is not erased
// with it. A note of an earlier version names no event: all go.
func TestErasureKeepsEventsThatCameAfterIt(t *testing.T) {
	t.Parallel()
	prefix := "wxn:{" + wechattest.AppID + "}:"
	for note, want := range map[string][]string{
		"by-admin 5-1 abc": {"5-2", "10-0"}, "by-admin 0-0 abc": {"4-9", "5-1", "5-2", "10-0"}, "by-admin abc": nil,
	} {
		h := newHospital(t)
		for _, id := range []string{"4-9", "5-1", "5-2", "10-0"} {
			check(t, h.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: prefix + "in", ID: id, Values: []any{"e", `{"e":"SCAN","o":"` + erasedOpenID + `"}`}}).Err())
		}
		check(t, h.rdb.HSet(t.Context(), prefix+"erasing", "o:"+erasedOpenID, note).Err())
		_ = inProcess(t, h.env, "enroll", "erase", "--openid", otherOpenID) // ends all that is noted
		var left []string
		for _, m := range h.rdb.XRange(t.Context(), prefix+"in", "-", "+").Val() {
			left = append(left, m.ID)
		}
		if diff := cmp.Diff(want, left); diff != "" {
			t.Errorf("note %q (-want +got):\n%s", note, diff)
		}
	}
}
