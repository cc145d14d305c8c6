package enroll

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	inboxGroup = "enroll"
	// maxInbox bounds the events that wait to be applied; past it WeChat is told
	// to come again.
	maxInbox = 1_000_000
	// inboxBatch is applied at once: its receipts share round trips.
	inboxBatch = 128
	// inboxBlock is how long a read waits for an event. It is also how long a
	// stop may take.
	inboxBlock = 2 * time.Second
	// retryAfter is when an event that was not finished is taken again, by any
	// process: a receipt that named no message, one that Redis failed, one whose
	// process was killed.
	retryAfter = time.Minute
	// goneReader is how long a process without events may be silent before it is
	// forgotten; a living one reads every two seconds.
	goneReader = time.Hour
	// maxTries ends what cannot be applied; it then lies in the list of stuck
	// events for a week.
	maxTries  = 50
	keepStuck = 7 * 24 * time.Hour
	mostStuck = 1000
	// seenLife is how long an event is recognised when it is pushed again:
	// WeChat repeats within a minute (docs: 被动回复用户消息).
	seenLife = time.Hour
)

// errLater has an event tried again after retryAfter.
var errLater = errors.New("not finished yet")

// entry is an event as it waits: what is needed of it and nothing more.
type entry struct {
	Name    string           `json:"e"`
	OpenID  string           `json:"o,omitempty"`
	At      int64            `json:"t,omitempty"` // Unix seconds
	MsgID   wechat.MessageID `json:"m,omitempty,string"`
	Status  string           `json:"s,omitempty"`
	Scene   string           `json:"k,omitempty"`
	Subject string           `json:"w,omitempty"`
	To      string           `json:"g,omitempty"` // the account's gh_ id, of a receipt
	// Late: it was delivered when WeChat had given up a first try, or is a repetition.
	Late  bool   `json:"l,omitempty"`
	Tries int    `json:"-"` // how often it was taken before
	Place string `json:"-"` // in the inbox: its stream ID
}

// named returns the entry with its names changed.
func (e entry) named(change func(kind seal.Kind, name string) string) entry {
	e.OpenID, e.Subject = change(seal.OpenID, e.OpenID), change(seal.OpenID, e.Subject)
	return e
}

// receipt of the entry as the ledger takes it.
func (e entry) receipt() ledger.Receipt {
	return ledger.Receipt{MsgID: e.MsgID, OpenID: e.OpenID, Status: e.Status, At: time.Unix(e.At, 0)}
}

//go:embed lua/take.lua
var takeLua string

//go:embed lua/forward.lua
var forwardLua string

var (
	takeScript    = redis.NewScript(takeLua)
	forwardScript = redis.NewScript(forwardLua)
)

// pushResult is what became of a push.
type pushResult string

// The outcomes of take.
const (
	pushNew      pushResult = "new"
	pushSeen     pushResult = "seen"   // acknowledged before: nothing is to be done
	pushReplayed pushResult = "replay" // its query belongs to another body
	inboxFull    pushResult = "full"
)

// inbox keeps one account's events until they are applied.
type inbox struct {
	*Roster

	consumer string
}

func newInbox(r *Roster, consumer string) *inbox {
	if consumer == "" {
		consumer = "enroll-" + randomName()
	}
	return &inbox{r, consumer}
}

// take is the one write before a push is acknowledged: it checks that the push
// is no replay and was not seen, and puts e, unless that is nil, into the inbox.
// Nothing is marked as seen that is not in the inbox.
func (b *inbox) take(ctx context.Context, p *wechat.Push, e *entry) (pushResult, error) {
	if err := b.admit(ctx); err != nil {
		return "", err
	}
	text := ""
	if e != nil {
		data, err := json.Marshal(e.named(b.keys.names.Seal))
		if err != nil {
			return "", fmt.Errorf("enroll: %w", err)
		}
		text = string(data)
	}
	reply, err := takeScript.Run(ctx, b.rdb,
		[]string{b.keys.nonce(p.Nonce), b.keys.seen(dedupeKey(p)), b.keys.inbox()},
		p.Digest, (time.Until(p.FreshUntil) + time.Minute).Milliseconds(), seenLife.Milliseconds(), maxInbox, text, randomName()).Text()
	if err != nil {
		return "", fmt.Errorf("enroll: take a push: %w", names.Explain(err))
	}
	return pushResult(reply), nil
}

// forwardOnce lets one request hand the push to the business, also when an
// earlier one took the push and did not live to.
func (b *inbox) forwardOnce(ctx context.Context, p *wechat.Push, arrived time.Time) (bool, error) {
	keys := []string{b.keys.seen(dedupeKey(p))}
	if isFollow(p.Event) {
		keys = append(keys, b.keys.seen("f"+p.Digest))
	}
	first, err := forwardScript.Run(ctx, b.rdb, keys,
		"+"+randomName(), arrived.UnixMilli(), repeatAfter.Milliseconds(), seenLife.Milliseconds()).Bool()
	return first, wrap(err, "hand a push on")
}

// verified remembers the query of WeChat's check: its signature is good for a
// push, too, which in plain mode could have any body. A query that came with a push
// before keeps that push's mark, so that WeChat's repetition of it is known.
func (b *inbox) verified(ctx context.Context, nonce string, keep time.Duration) error {
	err := b.rdb.SetArgs(ctx, b.keys.nonce(nonce), "verified", redis.SetArgs{Mode: "NX", TTL: keep}).Err()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return wrap(err, "note a verification")
}

// repeatAfter is less than WeChat waits for an answer before it repeats a push: 5 s.
const repeatAfter = 4 * time.Second

// dedupeKey names a push however often WeChat repeats it, by its whole document. Two
// pushes may be the same to the letter: receipts without a msgid, and follow events of
// one second, the resolution of CreateTime (follow, unfollow, follow). They are told
// apart by their signed query. A repetition that is signed anew then counts as another
// push: to apply a follow event twice does no harm, see Service.applyFollow.
func dedupeKey(p *wechat.Push) string {
	receipt := p.Event.Is(wechat.EventTemplateFinished) && p.Event.MsgID == 0
	if receipt || isFollow(p.Event) {
		return p.Digest + p.Nonce
	}
	return p.Digest
}

// isFollow reports whether e begins or ends following.
func isFollow(e *wechat.Event) bool {
	return e.Is(wechat.EventSubscribe) || e.Is(wechat.EventUnsubscribe)
}

// run applies events until ctx ends.
func (b *inbox) run(ctx context.Context, log *quietLog, apply func(context.Context, entry) error) {
	b.forgetReaders(ctx)
	for ctx.Err() == nil {
		if err := b.round(ctx, log, apply); err != nil && ctx.Err() == nil {
			log.warn("inbox", "events wait: Redis fails", zap.Error(names.Explain(err)))
			_ = redisx.Sleep(ctx, time.Second)
		}
	}
}

// forgetReaders takes processes that are gone off the group; one that has events
// in its hands stays until these are claimed.
func (b *inbox) forgetReaders(ctx context.Context) {
	readers, err := b.rdb.XInfoConsumers(ctx, b.keys.inbox(), inboxGroup).Result()
	if err != nil {
		return // there is no group yet
	}
	for _, r := range readers {
		if r.Pending == 0 && r.Idle > goneReader && r.Name != b.consumer {
			b.rdb.XGroupDelConsumer(ctx, b.keys.inbox(), inboxGroup, r.Name)
		}
	}
}

// round takes what is to be tried again, then what is new.
func (b *inbox) round(ctx context.Context, log *quietLog, apply func(context.Context, entry) error) error {
	if err := b.admit(ctx); err != nil {
		return err
	}
	again, err := b.unfinished(ctx)
	if err != nil {
		return err
	}
	if len(again) > 0 {
		return b.applyAll(ctx, log, again, apply)
	}
	streams, err := b.rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: inboxGroup, Consumer: b.consumer, Streams: []string{b.keys.inbox(), ">"}, Count: inboxBatch, Block: inboxBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("enroll: read the inbox: %w", err)
	}
	var fresh []pendingEntry
	for _, s := range streams {
		for _, m := range s.Messages {
			fresh = append(fresh, pendingEntry{m, 0})
		}
	}
	return b.applyAll(ctx, log, fresh, apply)
}

// pendingEntry is an entry in the stream, and how often it was taken before.
type pendingEntry struct {
	redis.XMessage
	tries int
}

// unfinished claims entries that were taken a while ago and are still there.
func (b *inbox) unfinished(ctx context.Context) ([]pendingEntry, error) {
	pending, err := b.rdb.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: b.keys.inbox(), Group: inboxGroup, Idle: retryAfter, Start: "-", End: "+", Count: inboxBatch,
	}).Result()
	if err != nil && strings.HasPrefix(err.Error(), "NOGROUP") {
		err = b.rdb.XGroupCreateMkStream(ctx, b.keys.inbox(), inboxGroup, "0").Err()
		if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
			err = nil // another process was first
		}
	}
	if err != nil || len(pending) == 0 {
		return nil, wrap(err, "look through the inbox")
	}
	ids := make([]string, len(pending))
	tries := make(map[string]int, len(pending))
	for i, p := range pending {
		ids[i], tries[p.ID] = p.ID, int(p.RetryCount)
	}
	claimed, err := b.rdb.XClaim(ctx, &redis.XClaimArgs{
		Stream: b.keys.inbox(), Group: inboxGroup, Consumer: b.consumer, MinIdle: retryAfter, Messages: ids,
	}).Result()
	out := make([]pendingEntry, len(claimed))
	for i, m := range claimed {
		out[i] = pendingEntry{m, tries[m.ID]}
	}
	return out, wrap(err, "claim from the inbox")
}

// applyAll applies entries side by side and takes the finished ones out.
func (b *inbox) applyAll(ctx context.Context, log *quietLog, list []pendingEntry, apply func(context.Context, entry) error) error {
	done := make([]bool, len(list))
	var g errgroup.Group
	for _, places := range byFollower(list, b.keys.names) {
		g.Go(func() error {
			for _, i := range places {
				done[i] = b.applyOne(ctx, log, list[i], apply)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	var ids []string
	for i, m := range list {
		if done[i] {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	pipe := b.rdb.Pipeline()
	pipe.XAck(ctx, b.keys.inbox(), inboxGroup, ids...)
	pipe.XDel(ctx, b.keys.inbox(), ids...)
	_, err := pipe.Exec(ctx)
	return wrap(err, "take events out of the inbox")
}

// byFollower keeps the events of one follower in their order.
func byFollower(list []pendingEntry, n *seal.Names) map[string][]int {
	places := map[string][]int{}
	for i, m := range list {
		openid := ""
		if e, err := entryIn(m, n); err == nil {
			openid = e.OpenID
		}
		places[openid] = append(places[openid], i)
	}
	return places
}

func entryIn(m pendingEntry, n *seal.Names) (entry, error) {
	e := entry{Tries: m.tries, Place: m.ID}
	text, _ := m.Values["e"].(string)
	err := json.Unmarshal([]byte(text), &e)
	return e.named(n.Open), wrap(err, "read an event")
}

// applyOne reports whether the entry is done with.
func (b *inbox) applyOne(ctx context.Context, log *quietLog, m pendingEntry, apply func(context.Context, entry) error) bool {
	e, err := entryIn(m, b.keys.names)
	if err == nil {
		err = apply(ctx, e)
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, errLater), ctx.Err() != nil:
		return false
	case m.tries < maxTries:
		log.warn("apply", "an event is tried again in a minute", zap.String("event", e.Name), zap.Error(err))
		return false
	}
	log.warn("stuck", "an event cannot be applied and is set aside", zap.String("event", e.Name), zap.Error(err))
	e.OpenID, e.Subject = wechat.MaskOpenID(e.OpenID), wechat.MaskOpenID(e.Subject) // it is for people to read
	text, err := json.Marshal(e)
	if err != nil {
		return false
	}
	pipe := b.rdb.Pipeline()
	pipe.LPush(ctx, b.keys.stuck(), text)
	pipe.LTrim(ctx, b.keys.stuck(), 0, mostStuck-1)
	pipe.Expire(ctx, b.keys.stuck(), keepStuck)
	_, err = pipe.Exec(ctx)
	return err == nil
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("enroll: %s: %w", what, names.Explain(err))
}

// randomName tells this process, or this call, from others.
func randomName() string { return strings.ToLower(rand.Text()[:12]) }
