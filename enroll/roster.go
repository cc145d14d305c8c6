package enroll

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/wechat"
)

// How an openid came to be bound.
const (
	ByOAuth = "oauth" // the follower opened the link in WeChat
	ByQR    = "qr"    // the follower scanned the code on the link's page
)

// Binding is one pair of user and openid.
type Binding struct {
	User    string
	OpenID  string
	UnionID string // empty: not known
	// Follows reports whether the openid follows the account, as far as events
	// and answers told; nil: not known.
	Follows *bool
	BoundAt time.Time
	How     string // ByOAuth, ByQR, or what Bind was told
}

//go:embed lua/follow.lua
var followLua string

//go:embed lua/latest.lua
var latestLua string

var (
	followScript = redis.NewScript(followLua)
	latestScript = redis.NewScript(latestLua)
)

// RosterConfig of one account. Give the same to all processes of the account.
type RosterConfig struct {
	Redis   redis.UniversalClient // required; stays open
	Account string                // appid, required
	// Keep is how long the record of a message is kept after its end: the workers'
	// setting. Default 72 h.
	Keep time.Duration
	// Resend names the classes whose messages are sent again when the receipt says
	// that WeChat could not deliver them. Nil: critical alone; empty: none.
	Resend []Class
	// Bind says what a further openid of a user does. Default BindLatest.
	Bind BindPolicy
	// EraseUnsubscribed erases the data of those who unfollow. WeChat's rules ask for it
	// unless the business has another ground to keep the data. False: their openid stays
	// on the roster, suppressed until they follow again.
	EraseUnsubscribed bool
	// WeChat answers for the account. Nil: Import cannot check, Sync and Migrate fail.
	WeChat FollowerAPI
	// SealKeys are those of producer.Config.SealKeys. Without them an erasure fails that
	// meets a sealed message whose record was lost. Default: none.
	SealKeys wechat.Secret
	// SealNameKeys are those of producer.Config.SealNameKeys. Default: openids and users
	// are in clear.
	SealNameKeys wechat.Secret
}

// Roster keeps which openids the users of one account have, in Redis and without an end:
// some 400 bytes for each user. Safe for concurrent use.
//
// Import binds users of another system, Sync writes which followers events missed, Migrate
// takes the roster of an account that moved. Each may be repeated, and goes on where it was
// stopped. Erase removes a person's data from the whole account.
type Roster struct {
	cfg     RosterConfig
	rdb     redis.UniversalClient
	keys    keys
	account string
	actor   string // for the audit trail
	records *ledger.Ledger
	tasks   *queue.Inspector
	codec   job.Codec // of messages that wait
}

// NewRoster checks cfg and returns all its faults in one error. It does not talk to Redis.
// Close the roster after use.
func NewRoster(cfg RosterConfig) (*Roster, error) {
	messages, sealed, err := seal.Read(cfg.SealKeys.Reveal(), cfg.SealNameKeys.Reveal(), cfg.Account)
	if cfg.Bind != "" && cfg.Bind != BindLatest && cfg.Bind != BindFirst {
		err = errors.Join(err, fmt.Errorf("Config.Bind %q is neither latest nor first", cfg.Bind))
	}
	records, fault := ledger.New(cfg.Redis, cfg.Account, sealed, ledger.Config{Keep: cfg.Keep, Resend: cfg.Resend})
	if err = errors.Join(err, fault); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	return &Roster{
		cfg: cfg, rdb: cfg.Redis, account: cfg.Account, keys: keys{cfg.Account, sealed},
		records: records, tasks: queue.NewInspector(cfg.Redis), codec: job.NewCodec(cfg.Account, messages),
	}, nil
}

// Close waits for the calls that are running. The Redis client stays open.
func (r *Roster) Close() error { return r.records.Close() }

// names seal the openids and users of the roster.
func (r *Roster) names() *seal.Names { return r.keys.names }

// admit returns an error unless names are sealed in Redis as this process seals them.
func (r *Roster) admit(ctx context.Context) error { return wrap(r.records.Admit(ctx), "begin") }

// Follow notes that a bound openid follows the account or has stopped to.
func (r *Roster) Follow(ctx context.Context, openid string, follows bool) error {
	if err := r.admit(ctx); err != nil {
		return err
	}
	if err := followScript.Run(ctx, r.rdb, []string{r.keys.follower(openid)}, flag(follows)).Err(); err != nil {
		return fmt.Errorf("enroll: note the follow state: %w", err)
	}
	return nil
}

// orderUnknown is what noteFollowEvent returns for an event whose order is not known.
const orderUnknown = "ask"

// noteFollowEvent stores a follow event unless a later one is stored, and returns the
// latest: events may be applied out of their order, and at once.
// It returns orderUnknown for an event that WeChat delivered late and that contradicts
// another one of its second.
func (r *Roster) noteFollowEvent(ctx context.Context, e entry, follows bool) (string, error) {
	if err := r.admit(ctx); err != nil {
		return "", err
	}
	reply, err := latestScript.Run(ctx, r.rdb, []string{r.keys.followed(e.OpenID)},
		e.At, flag(follows), seenLife.Milliseconds(), e.Place, flag(e.Late)).Text()
	return reply, wrap(err, "order the events of a follower")
}

// latestFollowEvent is the latest follow event of openid; empty: there was none within the
// last hour.
func (r *Roster) latestFollowEvent(ctx context.Context, openid string) (string, error) {
	reply, err := r.rdb.Get(ctx, r.keys.followed(openid)).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return reply, wrap(err, "order the events of a follower")
}

// Users are those that openid is bound to.
func (r *Roster) Users(ctx context.Context, openid string) ([]string, error) {
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	fields, err := r.rdb.HKeys(ctx, r.keys.follower(openid)).Result()
	if err != nil {
		return nil, fmt.Errorf("enroll: read a follower: %w", err)
	}
	var users []string
	for _, f := range fields {
		if user, ok := strings.CutPrefix(f, "u:"); ok {
			users = append(users, r.names().Open(seal.User, user))
		}
	}
	return users, nil
}

// Of lists the bindings of one user, the latest first.
func (r *Roster) Of(ctx context.Context, user string) ([]Binding, error) {
	list, err := r.bindings(ctx, []string{user})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Count is how many users have enrolled.
func (r *Roster) Count(ctx context.Context) (int64, error) {
	if err := r.admit(ctx); err != nil {
		return 0, err
	}
	n, err := r.rdb.ZCard(ctx, r.keys.roster()).Result()
	if err != nil {
		return 0, wrap(err, "count the roster")
	}
	return n, nil
}

// Page lists the bindings of up to n users in the order of their enrolment, from
// cursor on; the first cursor is empty. It returns the next cursor, empty after
// the last. Users who enrol while the pages are read come at the end; none is left out.
func (r *Roster) Page(ctx context.Context, cursor string, n int) ([]Binding, string, error) {
	if err := r.admit(ctx); err != nil {
		return nil, "", err
	}
	from := "-inf"
	after := ""
	if cursor != "" {
		score, user, ok := strings.Cut(cursor, " ")
		if _, err := strconv.ParseInt(score, 10, 64); !ok || err != nil {
			return nil, "", errors.New("enroll: the cursor is none that Page returned")
		}
		from, after = score, user
	}
	var users []string
	next := ""
	for offset := int64(0); len(users) < n; {
		found, err := r.rdb.ZRangeByScoreWithScores(ctx, r.keys.roster(), &redis.ZRangeBy{
			Min: from, Max: "+inf", Offset: offset, Count: int64(n),
		}).Result()
		if err != nil {
			return nil, "", fmt.Errorf("enroll: list the roster: %w", err)
		}
		for _, z := range found {
			user, _ := z.Member.(string)
			score := strconv.FormatInt(int64(z.Score), 10)
			if score == from && user <= after || len(users) == n {
				continue // of the page before: equal scores are in the order of their names
			}
			users, next = append(users, user), score+" "+user
		}
		if len(found) < n {
			break
		}
		offset += int64(len(found))
	}
	if len(users) < n {
		next = ""
	}
	for i, user := range users {
		users[i] = r.names().Open(seal.User, user)
	}
	list, err := r.bindings(ctx, users)
	return list, next, err
}

// bindings reads users with their openids, in two pipelined trips.
func (r *Roster) bindings(ctx context.Context, users []string) ([]Binding, error) {
	if len(users) == 0 {
		return nil, nil
	}
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	pipe := r.rdb.Pipeline()
	openids := make([]*redis.MapStringStringCmd, len(users))
	for i, u := range users {
		openids[i] = pipe.HGetAll(ctx, r.records.UserKey(u))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("enroll: read the roster: %w", err)
	}
	var out []Binding
	for i, u := range users {
		out = append(out, r.bindingsOf(u, openids[i].Val())...)
	}
	if len(out) == 0 {
		return nil, nil
	}
	followers := make([]*redis.SliceCmd, len(out))
	for i, b := range out {
		followers[i] = pipe.HMGet(ctx, r.keys.follower(b.OpenID), "n", "f")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("enroll: read the roster: %w", err)
	}
	for i := range out {
		v := followers[i].Val()
		unionid, _ := v[0].(string)
		out[i].UnionID = r.names().Open(seal.UnionID, unionid)
		if f, ok := v[1].(string); ok {
			follows := f == "1"
			out[i].Follows = &follows
		}
	}
	return out, nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// bindingsOf reads a user's hash, the latest binding first.
func (r *Roster) bindingsOf(user string, openids map[string]string) []Binding {
	var out []Binding
	for openid, value := range openids {
		at, how, _ := strings.Cut(value, " ")
		ms, _ := strconv.ParseInt(at, 10, 64)
		out = append(out, Binding{User: user, OpenID: r.names().Open(seal.OpenID, openid), BoundAt: time.UnixMilli(ms).UTC(), How: how})
	}
	slices.SortFunc(out, func(a, b Binding) int {
		return cmp.Or(b.BoundAt.Compare(a.BoundAt), strings.Compare(a.OpenID, b.OpenID))
	})
	return out
}
