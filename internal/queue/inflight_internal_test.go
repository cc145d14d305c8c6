package queue

import "testing"

// asynq may complete a delivery long after its handler has returned: when its task was put
// back, fetched and put back again by then, both completions are dropped, and none is
// carried out on the delivery that runs now, whose task would be lost.
func TestCompletionsOfTasksPutBackAreCounted(t *testing.T) {
	t.Parallel()
	f := newInFlight(1)
	q := keysOf("wx0123456789abcdef", "default")
	deliver := func() {
		f.hand(&delivery{queue: &q, id: "m"})
		if _, ok := f.start(taskKey{q.queue, "m"}); !ok {
			t.Fatal("not started")
		}
	}
	for range 2 {
		deliver()
		f.end("m", true)
	}
	deliver()
	for n, want := range []bool{true, true, false} {
		if was := f.wasPutBack("m"); was != want {
			t.Errorf("completion %d is dropped: %t, want %t", n+1, was, want)
		}
	}
}
