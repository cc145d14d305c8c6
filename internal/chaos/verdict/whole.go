package verdict

const (
	// goroutineSlack is for connections that come and go: two goroutines for each
	// of the sends in flight, and those of the Redis pool.
	goroutineSlack = 250
	// memorySlack is for a heap that has not been given back yet.
	memorySlack = 96 << 20
)

// whole judges what no single message can tell.
func (j *judgement) whole() {
	e := j.evidence
	if !e.Others && e.OverCap > 0 {
		j.fault(OverCap, "", "the platform refused %d calls for its quota", e.OverCap)
	}
	if e.Cap > 0 && e.Calls > e.Cap {
		j.fault(OverCap, "", "%d calls of a day, the cap is %d", e.Calls, e.Cap)
	}
	j.queues()
	for _, g := range e.Growth {
		if g.Goroutines > g.GoroutinesAt+goroutineSlack {
			j.fault(Grew, "", "%s: %d goroutines at first, %d in the end", g.Worker, g.GoroutinesAt, g.Goroutines)
		}
		if g.Memory > g.MemoryAt+memorySlack {
			j.fault(Grew, "", "%s: %d MB at first, %d MB in the end", g.Worker, g.MemoryAt>>20, g.Memory>>20)
		}
	}
	for _, how := range e.Exits {
		j.fault(Unclean, "", "%s", how)
	}
}

// queues: what has ended has left its queue, and what is stored stands in a set.
func (j *judgement) queues() {
	q := j.evidence.Queues
	if q.Active > 0 {
		j.fault(LeftOver, "", "%d tasks are active and no worker runs", q.Active)
	}
	if n := q.Pending + q.Retry; n > 0 && !j.evidence.Waiting {
		j.fault(LeftOver, "", "%d tasks pending, %d to retry", q.Pending, q.Retry)
	}
	later, cancelled := int64(0), int64(0)
	for _, m := range j.evidence.Messages {
		switch {
		case m.Later && m.State == Scheduled:
			later++
		case m.Later && m.State == Cancelled:
			// Its record keeps it from being sent; the task goes at its hour, should
			// Redis have failed when it was to be deleted.
			cancelled++
		}
	}
	if lost := int64(j.tally.Forgotten); q.Scheduled < later-lost || q.Scheduled > later+cancelled+lost {
		j.fault(LeftOver, "", "%d tasks are scheduled, %d messages wait for a later hour", q.Scheduled, later)
	}
	if sets := q.Pending + q.Active + q.Scheduled + q.Retry + q.Archived; q.Tasks != sets {
		j.fault(LeftOver, "", "%d tasks are stored and %d stand in a set", q.Tasks, sets)
	}
}
