// Package apikey keeps the keys of the HTTP API: who may do what, with how much
// of the day's quota. Redis holds digests only; a key's secret is shown once.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/job"
)

// Kind is what a key's messages reach.
type Kind string

// The kinds. Each is part of the secret's text, so that a key is recognised
// where it lies in a wrong place.
const (
	Live  Kind = "live"  // every follower
	Guest Kind = "guest" // the followers of its guest list, by WeChat itself
	Test  Kind = "test"  // no follower: the whole way without WeChat and without quota
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Live, Guest, Test} }

// Scope is one thing that a key may do.
type Scope string

// The scopes.
const (
	Send       Scope = "send"        // enqueue and cancel messages
	Read       Scope = "read"        // messages, users, accounts, templates, events
	ReadOpenID Scope = "read:openid" // openids unmasked
	Enroll     Scope = "enroll"      // enrolment links, unbind
	Erase      Scope = "erase"       // erase a user's data
	Gateway    Scope = "gateway"     // WeChat's own paths
	Token      Scope = "token"       // the account's real access token; live keys only
	Admin      Scope = "admin"       // webhooks
)

// Scopes lists them.
func Scopes() []Scope { return []Scope{Send, Read, ReadOpenID, Enroll, Erase, Gateway, Token, Admin} }

const (
	// MaxGuests bounds a guest list.
	MaxGuests = 20
	// MaxKeys bounds the keys of one account.
	MaxKeys = 1000
	// DefaultRate is a key's calls a second where it has no rate of its own.
	DefaultRate = 100
)

// Key is what a caller of the HTTP API may do.
type Key struct {
	ID      string  `json:"id"` // part of the secret, and what logs show
	Name    string  `json:"name"`
	Kind    Kind    `json:"kind"`
	Account string  `json:"account"` // appid
	Scopes  []Scope `json:"scopes"`
	// Class is the most urgent class that it may use. Empty: critical, thus any.
	Class job.Class `json:"class,omitempty"`
	// Rate is its calls a second, per process. Zero: DefaultRate.
	Rate float64 `json:"rate,omitempty"`
	// Share is the part of the day's quota that its messages may use, from 0 to 1.
	// Zero: no bound of its own.
	Share float64 `json:"share,omitempty"`
	// Guests are the openids and users that a guest key may write to.
	Guests []string `json:"guests,omitempty"`
	// Paths are the paths of WeChat that the gateway passes on for it, such as
	// /cgi-bin/menu/ with all below it. Empty: none but template sends.
	Paths     []string  `json:"paths,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// RotatedAt is when it last got a new secret. Zero: never.
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// Static keys come from WXNOTIFY_API_KEYS and cannot be rotated here.
	Static bool `json:"static,omitempty"`
}

// May reports whether the key has scope s.
func (k *Key) May(s Scope) bool { return slices.Contains(k.Scopes, s) }

// MayUse reports whether the key may use the class.
func (k *Key) MayUse(class job.Class) bool {
	if k.Class == "" {
		return true
	}
	order := job.Classes() // most urgent first
	return slices.Index(order, class) >= slices.Index(order, k.Class)
}

// MayReach reports whether the key may write to this openid or user.
func (k *Key) MayReach(recipient string) bool {
	return k.Kind != Guest || slices.Contains(k.Guests, recipient)
}

// DailyLimit is how many messages a day the key may enqueue of a quota of limit;
// -1: no bound of its own.
func (k *Key) DailyLimit(limit int64) int64 {
	if k.Share <= 0 || limit <= 0 {
		return -1
	}
	return max(1, int64(float64(limit)*k.Share))
}

var pathForm = regexp.MustCompile(`^/[A-Za-z0-9_./-]+$`)

// validate names every fault of a key that is to be created.
func (k *Key) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(k.Name == "" || len(k.Name) > 100 || strings.ContainsFunc(k.Name, unicode.IsControl),
		"name: give 1 to 100 characters that say who uses the key")
	fault(!slices.Contains(Kinds(), k.Kind), "kind: %q is not live, guest or test", k.Kind)
	fault(len(k.Scopes) == 0, "scopes: a key without a scope may do nothing")
	fault(k.Kind != Live && k.May(Token), "scopes: only a live key may have token: with the account's token every follower can be written to")
	for _, s := range k.Scopes {
		fault(!slices.Contains(Scopes(), s), "scopes: %q is none; there are %s", s, join(Scopes()))
	}
	if k.Class != "" {
		_, err := job.ParseClass(string(k.Class))
		fault(err != nil, "class: %q is not critical, default or bulk", k.Class)
	}
	fault(k.Rate < 0 || k.Rate > 1e5, "rate: give calls a second up to 100000, 0 for %d", DefaultRate)
	fault(k.Share < 0 || k.Share > 1, "share: give a part of the daily quota from 0 to 1")
	fault(len(k.Guests) > MaxGuests, "guests: %d are too many, at most %d", len(k.Guests), MaxGuests)
	fault(k.Kind == Guest && len(k.Guests) == 0, "guests: a guest key needs the openids or users that it may write to")
	fault(k.Kind != Guest && len(k.Guests) > 0, "guests: only a guest key has a guest list")
	for i, g := range k.Guests {
		fault(g == "" || !utf8.ValidString(g) || strings.ContainsFunc(g, neverInNames) || strings.Contains(g, "**"),
			"guests: the one with the number %d is neither an openid nor a user: give each whole, not masked, one a line, in UTF-8", i+1)
	}
	fault(len(k.Paths) > 0 && !slices.Contains(k.Scopes, Gateway), "paths: only a key with the scope gateway has paths")
	for _, p := range k.Paths {
		fault(!pathForm.MatchString(p) || strings.Contains(p, ".."), "paths: %q is no path such as /cgi-bin/menu/", p)
	}
	return errors.Join(faults...)
}

// neverInNames reports what no openid and no user of ours has, but lists that were read as
// one name, and masked names.
func neverInNames(r rune) bool {
	return !unicode.IsPrint(r) || strings.ContainsRune(" {},;，；、…", r)
}

func join[T ~string](list []T) string {
	parts := make([]string, len(list))
	for i, one := range list {
		parts[i] = string(one)
	}
	return strings.Join(parts, ", ")
}

// prefix of every secret of ours.
const prefix = "wxn_"

// newSecret makes a secret of at least 128 random bits: wxn_<kind>_<id>_<random>.
func newSecret(kind Kind, id string) string {
	return prefix + string(kind) + "_" + id + "_" + rand.Text()
}

// newID is 10 of the 26 letters and digits that rand.Text makes.
func newID() string { return strings.ToLower(rand.Text()[:10]) }

var secretForm = regexp.MustCompile(`^wxn_(live|guest|test)_([a-z0-9]{10})_[A-Z2-7]{26}$`)

// idOf reads the id out of a secret. ok is false for a text of another form.
func idOf(secret string) (id string, ok bool) {
	m := secretForm.FindStringSubmatch(secret)
	if m == nil {
		return "", false
	}
	return m[2], true
}

// digest of a secret. It has enough random bits for one without a salt.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
