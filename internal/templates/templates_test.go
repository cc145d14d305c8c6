package templates_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestAnAnswerIsUsedForAnHourAndOutlivesAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, fault := 0, error(nil)
		k := &templates.Known{Ask: func(context.Context) ([]wechat.Template, error) {
			asked++
			return []wechat.Template{{ID: "t1", Content: "{{thing1.DATA}}"}}, fault
		}}
		check := func(when string, questions int, want error) {
			t.Helper()
			list, at, err := k.List(t.Context())
			if asked != questions || !errors.Is(err, want) {
				t.Errorf("%s: asked %d times, error %v, want %d, %v", when, asked, err, questions, want)
			}
			if len(list) != 1 || list[0].ID != "t1" || list[0].Keys[0] != "thing1" || at.IsZero() {
				t.Errorf("%s: %v at %s", when, list, at)
			}
		}
		check("at first", 1, nil)
		time.Sleep(time.Hour)
		check("within the hour", 1, nil)
		fault = errors.New("away")
		time.Sleep(time.Second)
		check("after the hour", 2, fault)
		time.Sleep(time.Minute)
		check("within the minute of a failure", 2, fault)
		fault = nil
		time.Sleep(time.Second)
		check("after that minute", 3, nil)
	})
}

func TestACancelledQuestionIsNotKept(t *testing.T) {
	t.Parallel()
	k := &templates.Known{Ask: func(ctx context.Context) ([]wechat.Template, error) { return nil, ctx.Err() }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := k.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if list, at, err := k.List(t.Context()); err != nil || list == nil || at.IsZero() {
		t.Errorf("the next caller: %v at %s, %v", list, at, err)
	}
}

func TestWithoutAnAppSecretNothingIsAsked(t *testing.T) {
	t.Parallel()
	for _, k := range []*templates.Known{nil, {}} {
		if _, _, err := k.List(t.Context()); !errors.Is(err, templates.ErrNotAsked) {
			t.Errorf("%v", err)
		}
	}
}
