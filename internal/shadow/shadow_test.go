package shadow_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/shadow"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
)

const account = "wx1234567890abcdef"

type gate ratelimit.State

func (g gate) State(context.Context) (ratelimit.State, error) { return ratelimit.State(g), nil }

func message(id, openid string) producer.Message {
	return producer.Message{ID: id, Message: &wechat.TemplateMessage{ToUser: openid, TemplateID: "T1", Data: map[string]wechat.Field{"thing1": {Value: "x"}}}}
}

func with(m producer.Message, change func(*producer.Terms)) producer.Message {
	change(&m.Terms)
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLookForeseesWhatQueueAndWorkerWouldDo(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	records, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	p, err := producer.New(rdb, producer.Config{Account: account})
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	_, err = p.Enqueue(t.Context(), "known", message("", "o-1").Message)
	must(t, err)
	roster, err := enroll.NewRoster(enroll.RosterConfig{Redis: rdb, Account: account})
	must(t, err)
	for _, b := range []enroll.Binding{{User: "two", OpenID: "o-gone"}, {User: "two", OpenID: "o-good"}, {User: "gone", OpenID: "o-gone"}} {
		_, err := roster.Bind(t.Context(), b, nil)
		must(t, err)
	}
	must(t, records.Unsubscribed(t.Context(), "o-gone"))
	must(t, records.Suppress(t.Context(), ledger.Suppression{OpenID: "o-picky", Template: "T1", Reason: "user-refused"}))

	resets := time.Now().Add(time.Hour)
	s, err := shadow.New(t.Context(), records, gate{Used: 5, Cap: 10, Reserve: 2, Rate: 2, ResetsAt: resets})
	must(t, err)
	user := func(id, user string) producer.Message {
		return with(message(id, ""), func(t *producer.Terms) { t.User = user })
	}
	got, err := s.Look(t.Context(), []producer.Message{
		message("known", "o-1"), message("gone", "o-gone"), message("picky", "o-picky"), user("no", "nobody"), user("u-gone", "gone"), user("u-two", "two"),
		message("2", "o-2"), message("3", "o-3"), // the last that is free for class default: 8 of 10
		message("4", "o-4"),
		with(message("5", "o-5"), func(t *producer.Terms) { t.NotAfter = resets.Add(-time.Minute) }),
		with(message("6", "o-6"), func(t *producer.Terms) { t.Class = producer.Critical }),
		with(message("7", "o-7"), func(t *producer.Terms) { t.NotBefore = resets.Add(time.Minute) }),
		message("8", "wxn-sim-delivered"),
	})
	must(t, err)
	want := []shadow.Outcome{
		{Would: shadow.Known, State: producer.Queued},
		{Would: shadow.Suppressed, Reason: "unsubscribed"},
		{Would: shadow.Suppressed, Reason: "user-refused"},
		{Would: shadow.NoUser},
		{Would: shadow.Suppressed, Reason: "unsubscribed"},
		{Would: shadow.Send},
		{Would: shadow.Send},
		{Would: shadow.Send},
		{Would: shadow.Wait},
		{Would: shadow.Expire},
		{Would: shadow.Send},
		{Would: shadow.Send},
		{Would: shadow.Send},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	s.Refuse()
	f := s.Forecast()
	if f.Messages != 14 || f.Quota != 5 || f.Would[shadow.Send] != 6 || f.Would[shadow.Refused] != 1 || f.Seconds != 2 {
		t.Errorf("%+v", f)
	}
	if keys, _ := rdb.Exists(t.Context(), fmt.Sprintf("wxn:{%s}:m:2", account)).Result(); keys != 0 {
		t.Error("a record was written")
	}
}

func TestForecastWithoutAQuotaSaysNotKnown(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	records, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(t, err)
	t.Cleanup(func() { _ = records.Close() })
	s, err := shadow.New(t.Context(), records, gate{ResetsAt: time.Now().Add(time.Hour), Pauses: []ratelimit.PauseState{{Pause: ratelimit.Pause{Reason: ratelimit.ReasonManual}}}})
	must(t, err)
	if got, err := s.Look(t.Context(), []producer.Message{message("1", "o-1")}); err != nil || got[0].Would != shadow.Send {
		t.Errorf("%+v %v", got, err)
	}
	if f := s.Forecast(); f.Quota != -1 || f.Seconds != 0 || len(f.Closed) == 0 {
		t.Errorf("%+v", f)
	}
}
