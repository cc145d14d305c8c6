package console

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

func TestAStoppedRunLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{began: time.Now(), stop: cancel}
	begun := make(chan struct{}, abreast)
	d := deed{do: func(ctx context.Context, _ *Account, id string) error {
		if n, _ := strconv.Atoi(id); n < 2 {
			return map[int]error{1: errors.New("call 13812345678")}[n]
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.do(ctx, nil, d, ids)
	}()
	for range abreast {
		<-begun // as many as may be changed at once
	}
	s := &runs{all: []*run{r}}
	if !r.running() || s.active() != 1 {
		t.Error("it does not run")
	}
	r.stop()
	<-ended
	switch v := s.list()[0]; {
	case !v.Stopped, v.Ended.IsZero(), s.active() != 0:
		t.Errorf("it is not stopped: %+v", v)
	case v.Done != 1 || v.Failed != 1 || v.Total != 100 || v.Handled() != 2:
		t.Errorf("%+v", v)
	case v.First == "" || v.First == "call 13812345678":
		t.Errorf("the first failure is not masked: %q", v.First)
	}
}

func TestRunsAreForgottenOldestFirst(t *testing.T) {
	t.Parallel()
	s := &runs{}
	for i := range 3 * maxRuns {
		r := &run{stop: func() {}, ended: time.Now()}
		if i == 0 {
			r.ended = time.Time{} // it runs still
		}
		s.add(r)
	}
	list := s.list()
	if len(list) != maxRuns || list[0].ID != 3*maxRuns || list[maxRuns-1].ID != 1 {
		t.Errorf("%d runs, from %d to %d", len(list), list[0].ID, list[len(list)-1].ID)
	}
}
