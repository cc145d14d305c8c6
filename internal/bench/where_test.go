package main

import "testing"

func TestASampleBelongsToTheFirstPartOfItsStack(t *testing.T) {
	t.Parallel()
	got := sharesOf(`File: bench
Type: cpu
Duration: 10s, Total samples = 60000us (1 %)
-----------+-------------------------------------------------------
   10000us   runtime.markroot
             runtime.gcBgMarkWorker
-----------+-------------------------------------------------------
   20000us   internal/runtime/syscall/linux.Syscall6
             net/http.(*persistConn).writeLoop
-----------+-------------------------------------------------------
   30000us   runtime.mallocgc
             github.com/redis/go-redis/v9.(*Client).Process
             github.com/wxnotify/wxnotify/internal/ledger.(*Ledger).sendBegins
-----------+-------------------------------------------------------
   500us     runtime.findRunnable
             runtime.schedule
`)
	want := map[string]float64{"garbage collector": 10000, "net/http with its system calls": 20000, "calls to Redis": 30000, "scheduler and network poller": 500}
	for i, p := range parts {
		if got[i] != want[p.name] {
			t.Errorf("%s: %v µs, want %v", p.name, got[i], want[p.name])
		}
	}
}
