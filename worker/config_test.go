package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/worker"
)

// New names all faults at once, each by its field.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := worker.New(worker.Config{
		Concurrency: -1, TaskTimeout: 1500 * time.Millisecond, DrainTimeout: 5 * time.Second,
		Accounts: []worker.Account{{AppID: "wx1", Policy: worker.Policy{ReplayWindow: time.Hour}}, {AppID: "wx1"}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{
		"Redis is required", "Concurrency must be positive", "TaskTimeout must be whole seconds",
		"Accounts[0].Sender", "Accounts[0].Gate", "Accounts[0].Policy.ReplayWindow",
		"Accounts[1].AppID \"wx1\" is there twice", "shorter than DrainTimeout", "shorter than TaskTimeout",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("not named: %s\n%v", field, err)
		}
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"})
	defer func() { _ = rdb.Close() }()
	if _, err := worker.New(worker.Config{Redis: rdb}); err == nil || !strings.Contains(err.Error(), "at least one account") {
		t.Errorf("without accounts: %v", err)
	}
}
