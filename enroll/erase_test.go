package enroll_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
)

// An erased person is on no guest list of an API key, and is no place at which a
// synchronization goes on. Others stay.
func TestErasureTakesThePersonOffGuestListsAndOutOfASynchronization(t *testing.T) {
	t.Parallel()
	const sync, colleague = "wxn:{" + appID + "}:sync", "oSIM6t0colleague00000000001"
	for name, c := range map[string]struct {
		person  enroll.Person
		sync    map[string]any
		resumes bool // the synchronization is still there
	}{
		"openid, next of the list":         {enroll.Person{OpenID: openID}, map[string]any{"next": openID, "cursor": ""}, false},
		"user, its place in the roster":    {enroll.Person{User: "u-1"}, map[string]any{"next": "", "cursor": "1700000000000 u-1"}, false},
		"openid, another one's place":      {enroll.Person{OpenID: openID}, map[string]any{"next": colleague, "cursor": ""}, true},
		"user, no synchronization to find": {enroll.Person{User: "u-1"}, map[string]any{"next": "", "cursor": "1700000000000 u-12"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{}, func(t *testing.T, w *world) {
				keys := apikey.NewStore(w.rdb, appID)
				_, secret, err := keys.Create(t.Context(), apikey.Key{
					Name: "staging", Kind: apikey.Guest, Scopes: []apikey.Scope{apikey.Send}, Guests: []string{openID, colleague, "u-1"},
				})
				must(t, err)
				ring, err := apikey.NewKeyring(w.rdb, []string{appID}, "")
				must(t, err)
				must(t, w.rdb.HSet(t.Context(), sync, c.sync).Err())
				found, err := w.roster.Erase(t.Context(), c.person)
				must(t, err)
				if found.Guests != 1 || found.Nothing() {
					t.Errorf("%+v", found)
				}
				list, err := keys.List(t.Context())
				must(t, err)
				name := c.person.OpenID + c.person.User
				if len(list) != 1 || len(list[0].Guests) != 2 || !list[0].MayReach(colleague) || list[0].MayReach(name) {
					t.Errorf("%+v", list)
				}
				if _, err := ring.Verify(t.Context(), secret); err != nil {
					t.Errorf("the key: %v", err)
				}
				if n := w.rdb.Exists(t.Context(), sync).Val(); (n == 1) != c.resumes {
					t.Errorf("%d synchronizations are kept", n)
				}
				for _, entry := range w.dump() {
					if c.person.OpenID != "" && strings.Contains(entry, openID) {
						t.Errorf("still readable: %.300s", entry)
					}
				}
			})
		})
	}
}

// before calls do once, before the first command of this name.
type before struct {
	redis.Hook
	name string
	do   func()
}

func (b *before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if do := b.do; do != nil && cmd.Name() == b.name {
			b.do = nil
			do()
		}
		return next(ctx, cmd)
	}
}

func (b *before) DialHook(next redis.DialHook) redis.DialHook { return next }
func (b *before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A binding that is made while an erasure takes the person off the roster is there whole:
// the user has the openid, and the openid has the user.
func TestABindingBesideAnErasureIsWhole(t *testing.T) {
	t.Parallel()
	const other = "oSIM6t0other000000000000001"
	for name, c := range map[string]struct{ person, later enroll.Person }{
		"the erased user, another openid": {enroll.Person{User: "u-1"}, enroll.Person{User: "u-1", OpenID: other}},
		"another user, the erased openid": {enroll.Person{OpenID: openID}, enroll.Person{User: "u-2", OpenID: openID}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, settings{}, func(t *testing.T, w *world) {
				w.enrolled(w.link("u-1"), openID)
				rdb := redis.NewClient(w.rdb.Options())
				t.Cleanup(func() { _ = rdb.Close() })
				rdb.AddHook(&before{name: "hset", do: func() { // the note of the erasure: the traces are found
					said, err := w.roster.Bind(t.Context(), enroll.Binding{User: c.later.User, OpenID: c.later.OpenID, How: "import"}, nil)
					if err != nil || said != enroll.BoundNow {
						t.Errorf("%s %v", said, err)
					}
				}})
				_, err := newRoster(t, rdb, appID, nil).Erase(t.Context(), c.person)
				must(t, err)
				users, err := w.roster.Users(t.Context(), c.later.OpenID)
				must(t, err)
				if !slices.Equal(w.bound(c.later.User), []string{c.later.OpenID}) || !slices.Equal(users, []string{c.later.User}) {
					t.Errorf("the user has %v, the openid %v", w.bound(c.later.User), users)
				}
				list, _, err := w.roster.Page(t.Context(), "", 10)
				must(t, err)
				if len(list) != 1 {
					t.Errorf("the roster: %+v", list)
				}
			})
		})
	}
}
