package worker_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
	"github.com/wxnotify/wxnotify/worker"
)

// New names all faults at once, each by its field.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := worker.New(worker.Config{
		Concurrency: -1, TaskTimeout: 1500 * time.Millisecond, DrainTimeout: 5 * time.Second,
		Accounts: []worker.Account{{AppID: "wx1", Policy: worker.Policy{ReplayWindow: time.Hour}}, {AppID: "wx1"}, {AppID: "a b"}, {}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{
		"Redis is required", "Concurrency must be from 1 to 1000, got -1", "TaskTimeout must be whole seconds from 1s to 50s, got 1.5s",
		"Accounts[0].Sender", "Accounts[0].Gate", "Accounts[0].Policy.ReplayWindow",
		"Accounts[1].AppID \"wx1\" is there twice", "Accounts[2].AppID: the account is no appid", "Accounts[3].AppID: the account is empty", "shorter than Config.DrainTimeout", "shorter than TaskTimeout",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("not named: %s\n%v", field, err)
		}
	}
	// T11, T14: asynq takes whole seconds, and its list of active tasks is bounded.
	_, err = worker.New(worker.Config{Concurrency: 1001, TaskTimeout: 51 * time.Second})
	for _, field := range []string{"Concurrency must be from 1 to 1000, got 1001", "TaskTimeout must be whole seconds from 1s to 50s, got 51s"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("not named: %s\n%v", field, err)
		}
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"})
	defer func() { _ = rdb.Close() }()
	if _, err := worker.New(worker.Config{Redis: rdb}); err == nil || !strings.Contains(err.Error(), "at least one account") {
		t.Errorf("without accounts: %v", err)
	}
}

// A worker whose run has ended writes no record any more: a second run would fetch
// messages, and send none of them.
func TestAWorkerRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wechattest.Config{}, terms{})
		w := p.start()
		time.Sleep(time.Second)
		w.cancel()
		w.done <- <-w.done // for stop
		p.enqueue(appid, job.Default, "m")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.worker.Run(ctx); err == nil || !strings.Contains(err.Error(), "make a new one") {
			t.Errorf("the second run returned %v, and left %d messages", err, p.left(appid))
		}
	})
}
