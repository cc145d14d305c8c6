package ledger_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

func TestSuppressedTellsWhatIsInForce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := open(t, rdb)
		for _, s := range []ledger.Suppression{
			{OpenID: "all", Reason: "user-block"},
			{OpenID: "one", Template: "T1", Reason: "refused"},
			{OpenID: "admin", Reason: "complained", ByAdmin: true},
			{OpenID: "both", Reason: "x", ByAdmin: true},
			{OpenID: "both", Template: "T1", Reason: "y"},
		} {
			if err := l.Suppress(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		asked := []ledger.Recipient{{"all", "T1"}, {"one", "T1"}, {"one", "T2"}, {"admin", ""}, {"none", "T1"}, {"both", "T1"}}
		got, err := l.Suppressed(t.Context(), asked...)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"user-block", "refused", "", "complained", "", "x"} {
			reason := ""
			if got[i] != nil {
				reason = got[i].Reason
			}
			if reason != want {
				t.Errorf("%v: %q, want %q", asked[i], reason, want)
			}
		}
		if !got[3].ByAdmin || got[1].Template != "T1" {
			t.Errorf("%+v %+v", got[3], got[1])
		}
	})
}

// That a person follows says nothing against other reasons than that they did not.
func TestListedLiftsOnlyThatTheyDidNotFollow(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	l := open(t, rdb)
	stays := map[string]bool{"unsubscribed": false, "require-subscribe": false, "user-block": true, "recipient-blacklisted": true, "": true}
	var openids []string
	for reason := range stays {
		openids = append(openids, "o-"+reason)
		if err := l.Suppress(t.Context(), ledger.Suppression{OpenID: "o-" + reason, Reason: reason, Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Suppress(t.Context(), ledger.Suppression{OpenID: "o-admin", Reason: "unsubscribed", ByAdmin: true}); err != nil {
		t.Fatal(err)
	}
	lifted, err := l.Listed(t.Context(), append(openids, "o-admin", "o-none")...)
	if err != nil || lifted != 2 {
		t.Errorf("lifted %d, %v", lifted, err)
	}
	stays["admin"] = true
	for reason, want := range stays {
		list, err := l.Suppressed(t.Context(), ledger.Recipient{OpenID: "o-" + reason})
		if err != nil || (list[0] != nil) != want {
			t.Errorf("%q: %+v %v", reason, list, err)
		}
	}
}
