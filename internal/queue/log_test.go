package queue_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/wxnotify/wxnotify/internal/queue"
)

// While Redis is away asynq complains many times a second: of each kind one
// line in ten seconds is written, with the remedy.
func TestAsynqComplainsSparingly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		log := queue.NewAsynqLog(zap.New(core))
		for second := range 25 {
			for i := range 8 {
				log.Error("Failed to forward scheduled tasks: redis eval error: dial tcp 127.0.0.1:6379: connection refused")
				log.Warn(fmt.Sprintf("Could not remove task id=order-%d-%d err: OOM command not allowed; Will retry syncing", second, i))
			}
			time.Sleep(time.Second)
		}
		remedies := map[string]int{}
		for _, line := range logs.All() {
			fields := line.ContextMap()
			remedy, _ := fields["remedy"].(string)
			remedies[remedy]++
		}
		if logs.Len() != 6 || len(remedies) != 2 || remedies[""] != 0 {
			t.Errorf("%d lines with the remedies %v, want 3 of each of two kinds", logs.Len(), remedies)
		}
		log.Info("a", "b")
		log.Debug("c")
		if logs.Len() != 8 {
			t.Errorf("%d lines, want information as it comes", logs.Len())
		}
	})
}
