package worker

import (
	"testing"
	"time"
)

// A template whose last messages were rejected holds nothing back any more.
func TestATemplateWithoutMessagesIsNotHeld(t *testing.T) {
	t.Parallel()
	var q templateBreaker
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	q.refused("T2", 41028, now, now.Add(time.Second))
	q.refused("T1", 40037, now, now)
	held := q.held(now.Add(time.Minute))
	if len(held) != 2 || held[0].Template != "T1" || held[0].Errcode != 40037 || held[1].Until != now.Add(10*time.Minute+time.Second) {
		t.Errorf("held: %+v", held)
	}
	if held := q.held(now.Add(15 * time.Minute)); len(held) != 1 || held[0].Template != "T2" {
		t.Errorf("after a quarter of an hour: %+v", held)
	}
	q.worked("T2")
	if held := q.held(now.Add(time.Minute)); len(held) != 1 || held[0].Template != "T1" {
		t.Errorf("after it worked: %+v", held)
	}
}

// Messages that were begun before the first refusal count with it, also those that are
// sent after it.
func TestRefusalsOfOneWaveCountOnce(t *testing.T) {
	t.Parallel()
	var q templateBreaker
	begin := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	q.admit("T", begin)
	q.admit("T", begin.Add(5*time.Millisecond))
	if !q.refused("T", 40037, begin, begin.Add(10*time.Millisecond)) || q.refused("T", 40037, begin.Add(5*time.Millisecond), begin.Add(20*time.Millisecond)) {
		t.Error("the first refusal alone is the first")
	}
	if held := q.held(begin.Add(time.Second)); len(held) != 1 || held[0].Until != begin.Add(time.Minute+10*time.Millisecond) {
		t.Errorf("held: %+v", held)
	}
}
