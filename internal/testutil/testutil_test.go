package testutil_test

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/testutil"
)

func TestUntilWaitsForMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		testutil.Until(t, "four minutes have passed", func() bool { return time.Since(began) >= 4*time.Minute })
		if took := time.Since(began); took > 4*time.Minute+100*time.Millisecond {
			t.Errorf("looked again after %s only", took)
		}
	})
}

func TestReceiveReturnsWhatIsSent(t *testing.T) {
	t.Parallel()
	from := make(chan string, 1)
	from <- "value"
	if got := testutil.Receive(t, "a value", from); got != "value" {
		t.Errorf("received %q", got)
	}
	close(from)
	if got := testutil.Receive(t, "the end", from); got != "" {
		t.Errorf("received %q from a closed channel", got)
	}
}

// failure is a test that fails.
type failure struct {
	testing.TB
	text string
}

func (f *failure) Helper() {}
func (f *failure) Fatalf(format string, _ ...any) {
	f.text = format
	panic(f)
}

func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(testing.TB){
		"Until":   func(tb testing.TB) { tb.Helper(); testutil.Until(tb, "never", func() bool { return false }) },
		"Receive": func(tb testing.TB) { tb.Helper(); testutil.Receive(tb, "never", make(chan int)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, began := &failure{TB: t}, time.Now()
				func() {
					defer func() { _ = recover() }()
					wait(f)
				}()
				if took := time.Since(began); f.text == "" || took < 7*time.Minute || took > 8*time.Minute {
					t.Errorf("failed with %q after %s", f.text, took)
				}
			})
		})
	}
}

func TestFreeAddrReturnsEachOnce(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				addr := testutil.FreeAddr(t)
				if _, again := seen.LoadOrStore(addr, true); again || !strings.HasPrefix(addr, testutil.Host(t)+":1") {
					t.Errorf("%s: again %v", addr, again)
				}
			}
		})
	}
	group.Wait()
}

func TestFreeAddrIsFree(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", testutil.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func TestConcurrentlyCallsWithEachNumberOnce(t *testing.T) {
	t.Parallel()
	var called [1000]atomic.Int32
	testutil.Concurrently(10, 900, func(i int) { called[i].Add(1) })
	for i := range called {
		want := int32(1)
		if i < 10 || i >= 910 {
			want = 0
		}
		if got := called[i].Load(); got != want {
			t.Errorf("number %d: %d calls, want %d", i, got, want)
		}
	}
}
