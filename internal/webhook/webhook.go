// Package webhook delivers events to addresses of the business, as the Standard
// Webhooks specification says (https://www.standardwebhooks.com): signed with HMAC
// SHA-256, retried for a day, at least once.
//
//	events stream ─► Dispatcher: a task for each event and webhook ─► asynq queue ─► Deliver ─► POST
//
// A webhook has a cursor on the stream, which the Dispatcher moves after the tasks were
// put: a crash in between puts them again, under the same IDs. A task names the event;
// what it tells is read when it is sent.
package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redisx"
)

// Webhook is an address that gets events.
type Webhook struct {
	ID      string      `json:"id"`
	URL     string      `json:"url"`
	Types   []string    `json:"events"`            // see events.CheckTypes; empty: all
	Classes []job.Class `json:"classes,omitempty"` // of messages; empty: all
	// Keys are the IDs of the API keys whose messages it gets; empty: all messages, also
	// those that no key enqueued.
	Keys    []string  `json:"keys,omitempty"`
	OpenIDs bool      `json:"openids"` // whole in what is sent; default: masked
	Created time.Time `json:"created_at"`
	// Disabled says since when and why nothing is sent; zero: it is enabled.
	Disabled time.Time `json:"disabled_at,omitzero"`
	Reason   string    `json:"disabled_reason,omitempty"`
	Secrets  []Secret  `json:"-"` // the newest first; all that are in force sign
}

// Secret signs what is sent.
type Secret struct {
	Value string    `json:"value"`          // whsec_…
	Until time.Time `json:"until,omitzero"` // zero: until it is rotated
}

// stored is a webhook as Redis has it.
type stored struct {
	Webhook
	Secrets []Secret `json:"secrets"`
}

// Attempt is one delivery of an event, or the try of one.
type Attempt struct {
	Event  string      `json:"event"`
	Type   events.Type `json:"type"`
	At     time.Time   `json:"at"`
	Status int         `json:"status,omitempty"` // of the answer; 0: none came
	Error  string      `json:"error,omitempty"`
	Millis int64       `json:"ms"`
}

// ErrNotFound says that there is no webhook of this ID.
var ErrNotFound = errors.New("there is no webhook of this id")

// InvalidError says which field of a webhook is refused, and why. Field is the end of a
// JSON pointer, such as keys/0 for the first of the keys. Detail is the same text for each
// value, so that it can be translated, and shows none.
type InvalidError struct{ Field, Detail string }

func (e *InvalidError) Error() string { return "webhook: " + e.Field + " " + e.Detail }

const (
	maxWebhooks = 20
	maxEntries  = 100 // of a filter
	maxKey      = 128 // bytes of an ID
	maxURL      = 2048
	maxHost     = 253 // of DNS
	maxAttempts = 100 // kept for each webhook
	keepLog     = 7 * 24 * time.Hour
)

// Store keeps the webhooks of an account.
type Store struct {
	rdb     redis.UniversalClient
	account string
	private bool
	records *ledger.Ledger
}

// NewStore of the account of these records. private allows http:// and addresses that are
// not public.
func NewStore(records *ledger.Ledger, private bool) *Store {
	return &Store{records.Redis(), records.Account(), private, records}
}

func (s *Store) key() string { return redisx.Prefix(s.account) + "webhooks" }

// stateKey has the cursor of a webhook, when its failures began, and how often its
// events were asked for again.
func (s *Store) stateKey(id string) string { return redisx.Prefix(s.account) + "webhook:" + id }
func (s *Store) logKey(id string) string   { return redisx.Prefix(s.account) + "webhook:" + id + ":log" }

// checkURL refuses an address that is never called.
func (s *Store) checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || !portOrNone(u.Port()):
		return &InvalidError{"url", "is no address such as https://shop.example/wechat-events, without user and fragment, its port from 1 to 65535"}
	case len(address) > maxURL || len(u.Hostname()) > maxHost:
		return &InvalidError{"url", "is longer than 2048 bytes, or its host than 253: choose a shorter one"}
	case u.Scheme != "https" && (u.Scheme != "http" || !s.private):
		return &InvalidError{"url", "is not https://; WXNOTIFY_WEBHOOK_PRIVATE=true allows http:// and private networks"}
	case !s.private && !mayBePublic(u.Hostname()):
		return &InvalidError{"url", "has a host that is not public; WXNOTIFY_WEBHOOK_PRIVATE=true allows private networks"}
	}
	return nil
}

// portOrNone reports whether the text is empty or a port.
func portOrNone(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// checkFilters refuses what selects no event. The error wraps an InvalidError for each
// entry that is wrong.
func checkFilters(w Webhook) error {
	return errors.Join(
		checkEntries("classes", w.Classes, "is no class: use critical, default or bulk", func(c job.Class) bool { return slices.Contains(job.Classes(), c) }),
		checkEntries("keys", w.Keys, "is no ID of an API key: 'wxnotify api keys list' has them", mayBeKey),
		checkEntries("events", w.Types, events.NoType, func(name string) bool { return events.CheckTypes([]string{name}) == nil }),
	)
}

// checkEntries refuses the entries of a field that are not valid. None is shown: it may be
// a secret.
func checkEntries[T any](field string, entries []T, detail string, valid func(T) bool) error {
	if len(entries) > maxEntries {
		return &InvalidError{field, "has more than 100 entries: make another webhook"}
	}
	var faults []error
	for i, entry := range entries {
		if !valid(entry) {
			faults = append(faults, &InvalidError{field + "/" + strconv.Itoa(i), detail})
		}
	}
	return errors.Join(faults...)
}

// mayBeKey reports whether the text may be the ID of an API key: a secret is none.
func mayBeKey(key string) bool {
	return key != "" && len(key) <= maxKey && !strings.HasPrefix(key, "wxn_") && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// mayBePublic tells from its text that a host is an address that is never called, or a name
// of this machine. What other names resolve to is checked at each call.
func mayBePublic(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return publicAddr(ip)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	// A name ends in letters: 2130706433, 0x7f000001 and 127.1 are other forms of an address.
	return last != "localhost" && last != "" && (last[0] < '0' || last[0] > '9')
}

// Add stores a new webhook and returns it with its secret. It gets the events from now on.
func (s *Store) Add(ctx context.Context, w Webhook) (Webhook, error) {
	if err := errors.Join(s.checkURL(w.URL), checkFilters(w)); err != nil {
		return w, err
	}
	if n, err := s.rdb.HLen(ctx, s.key()).Result(); err != nil || n >= maxWebhooks {
		if err == nil {
			return w, &InvalidError{"url", "is one too many: the account has 20 webhooks already; remove one"}
		}
		return w, fmt.Errorf("webhook: add: %w", err)
	}
	at, err := events.NewReader(s.records, nil).Latest(ctx)
	if err != nil {
		return w, err
	}
	w.ID = "wh_" + strings.ToLower(rand.Text()[:12])
	w.Created = time.Now().UTC().Truncate(time.Second)
	w.Secrets = []Secret{{Value: newSecret()}}
	if w.Types == nil {
		w.Types = []string{} // a list in JSON
	}
	if err := s.rdb.HSet(ctx, s.stateKey(w.ID), "at", at).Err(); err != nil {
		return w, fmt.Errorf("webhook: add: %w", err)
	}
	return w, s.put(ctx, w)
}

// newSecret has 192 bits, within the specification's 24 to 64 bytes.
func newSecret() string {
	var key [24]byte
	_, _ = rand.Read(key[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key[:])
}

func (s *Store) put(ctx context.Context, w Webhook) error {
	text, err := json.Marshal(stored{w, w.Secrets})
	if err == nil {
		err = s.rdb.HSet(ctx, s.key(), w.ID, text).Err()
	}
	if err != nil {
		return fmt.Errorf("webhook: store: %w", err)
	}
	return nil
}

func parse(text string) (Webhook, error) {
	var in stored
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return in.Webhook, fmt.Errorf("webhook: a stored one cannot be read: %w", err)
	}
	in.Webhook.Secrets = in.Secrets
	return in.Webhook, nil
}

// List returns the webhooks, the oldest first.
func (s *Store) List(ctx context.Context) ([]Webhook, error) {
	all, err := s.rdb.HGetAll(ctx, s.key()).Result()
	if err != nil {
		return nil, fmt.Errorf("webhook: list: %w", err)
	}
	var out []Webhook
	for _, text := range all {
		w, err := parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Webhook) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// Get returns one webhook. The error wraps ErrNotFound.
func (s *Store) Get(ctx context.Context, id string) (Webhook, error) {
	text, err := s.rdb.HGet(ctx, s.key(), id).Result()
	if errors.Is(err, redis.Nil) {
		return Webhook{}, fmt.Errorf("webhook: %w", ErrNotFound)
	}
	if err != nil {
		return Webhook{}, fmt.Errorf("webhook: read: %w", err)
	}
	return parse(text)
}

// Update stores changed fields of a webhook; change sets them. Enabling one that was
// disabled has it go on from where it was, as far as its events are kept.
func (s *Store) Update(ctx context.Context, id string, change func(*Webhook)) (Webhook, error) {
	for {
		before, err := s.Get(ctx, id)
		if err != nil {
			return before, err
		}
		w := before
		w.Secrets = slices.Clone(before.Secrets)
		change(&w)
		invalid := checkFilters(w)
		// One that is called no longer, since the setting changed, can be disabled.
		if enabled := w.Disabled.IsZero() && !before.Disabled.IsZero(); enabled || w.URL != before.URL {
			invalid = errors.Join(s.checkURL(w.URL), invalid)
		}
		if invalid != nil {
			return w, invalid
		}
		if w.Disabled.IsZero() {
			w.Reason = ""
		}
		if done, err := s.replace(ctx, before, w); err != nil || done {
			return w, err
		}
		// Another process changed it: apply the change to that.
	}
}

// replaceScript writes a webhook unless it was changed since it was read. One that was
// enabled begins without failures.
var replaceScript = redisx.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] == '1' then
  redis.call('HDEL', KEYS[2], 'failing')
end
return 1`)

func (s *Store) replace(ctx context.Context, before, after Webhook) (bool, error) {
	old, err := json.Marshal(stored{before, before.Secrets})
	text, err2 := json.Marshal(stored{after, after.Secrets})
	if err = errors.Join(err, err2); err != nil {
		return false, fmt.Errorf("webhook: store: %w", err)
	}
	enabled := "0"
	if after.Disabled.IsZero() && !before.Disabled.IsZero() {
		enabled = "1"
	}
	n, err := replaceScript.Run(ctx, s.rdb, []string{s.key(), s.stateKey(after.ID)}, after.ID, old, text, enabled).Int()
	if err != nil {
		return false, fmt.Errorf("webhook: store: %w", err)
	}
	return n == 1, nil
}

// Rotate gives a webhook a new secret. Those before sign, too, for the overlap.
func (s *Store) Rotate(ctx context.Context, id string, overlap time.Duration) (Webhook, error) {
	return s.Update(ctx, id, func(w *Webhook) {
		now := time.Now().UTC()
		var old []Secret
		for _, secret := range w.Secrets {
			if secret.Until.IsZero() {
				secret.Until = now.Add(overlap)
			}
			if secret.Until.After(now) {
				old = append(old, secret)
			}
		}
		w.Secrets = append([]Secret{{Value: newSecret()}}, old...)
		w.Secrets = w.Secrets[:min(len(w.Secrets), 4)]
	})
}

// Remove ends a webhook. What waits to be sent to it is dropped.
func (s *Store) Remove(ctx context.Context, id string) error {
	n, err := s.rdb.HDel(ctx, s.key(), id).Result()
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err == nil {
		err = s.rdb.Del(ctx, s.stateKey(id), s.logKey(id)).Err()
	}
	if err != nil {
		return fmt.Errorf("webhook: remove: %w", err)
	}
	return nil
}

// Recover has the events since a time sent again, as far as they are kept.
func (s *Store) Recover(ctx context.Context, id string, since time.Time) error {
	if _, err := s.Get(ctx, id); err != nil {
		return err
	}
	pipe := s.rdb.Pipeline()
	pipe.HIncrBy(ctx, s.stateKey(id), "round", 1)
	pipe.HSet(ctx, s.stateKey(id), "at", events.At(since))
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("webhook: recover: %w", err)
	}
	return nil
}

// Attempts are the latest deliveries, the newest first; at most 100, for seven days.
func (s *Store) Attempts(ctx context.Context, id string) ([]Attempt, error) {
	lines, err := s.rdb.LRange(ctx, s.logKey(id), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("webhook: read the attempts: %w", err)
	}
	out := make([]Attempt, 0, len(lines))
	for _, line := range lines {
		var a Attempt
		if json.Unmarshal([]byte(line), &a) == nil {
			out = append(out, a)
		}
	}
	return out, nil
}

func (s *Store) note(ctx context.Context, id string, a Attempt) error {
	line, err := json.Marshal(a)
	if err == nil {
		pipe := s.rdb.Pipeline()
		pipe.LPush(ctx, s.logKey(id), line)
		pipe.LTrim(ctx, s.logKey(id), 0, maxAttempts-1)
		pipe.Expire(ctx, s.logKey(id), keepLog)
		_, err = pipe.Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("webhook: note the attempt: %w", err)
	}
	return nil
}
