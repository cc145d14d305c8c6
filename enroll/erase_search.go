package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/internal/seal"
)

const (
	// activeWait bounds the wait for messages that are being sent: an attempt takes 10 s
	// at most, and its worker may write its outcome for longer.
	activeWait = 30 * time.Second
	activeLook = 250 * time.Millisecond
)

// people are those who are noted.
type people struct {
	openids map[string]string // to the ID of the latest event before the erasure; empty: any
	users   map[string]bool
}

// peopleOf reads the notes that Roster.noteErasure wrote. Versions before December 2026 noted
// no event.
func (r *Roster) peopleOf(notes map[string]string) people {
	p := people{openids: map[string]string{}, users: map[string]bool{}}
	for name, note := range notes {
		openid, ok := strings.CutPrefix(name, "o:")
		if !ok {
			p.users[r.names().Open(seal.User, strings.TrimPrefix(name, "u:"))] = true
			continue
		}
		openid = r.names().Open(seal.OpenID, openid)
		p.openids[openid] = ""
		if words := strings.Fields(note); len(words) == 3 {
			p.openids[openid] = words[1]
		}
	}
	return p
}

func (p people) names(openid string) bool {
	_, ok := p.openids[openid]
	return ok
}

// unopened are messages that wait and that the search could not open.
type unopened struct {
	ids []string
	err error // names the key of one of them
}

// findWaiting returns the tasks whose payload names one of them, and those that it cannot
// open.
func (r *Roster) findWaiting(ctx context.Context, who people) (tasks []queue.Ref, closed unopened, err error) {
	_, _, err = r.tasks.Each(ctx, r.account, func(t queue.Ref, payload []byte) []byte {
		m, err := r.codec.Parse(t.ID, payload)
		if missing := (*seal.UnknownKeyError)(nil); errors.As(err, &missing) {
			closed.ids, closed.err = append(closed.ids, t.ID), err
		}
		if err == nil && (who.names(m.To) || who.users[m.User]) {
			tasks = append(tasks, t)
		}
		return nil
	})
	return tasks, closed, wrap(err, "search the queues")
}

// checkRecorded returns an error when one of the messages has no record: then only its payload
// tells whom it is to. Those of people who are erased were found by their records.
func (r *Roster) checkRecorded(ctx context.Context, messages unopened) error {
	records, err := r.records.Get(ctx, messages.ids...)
	if err != nil {
		return wrap(err, "read the records of sealed messages")
	}
	if slices.Contains(records, nil) {
		return fmt.Errorf("enroll: a message that waits may be the person's: its record is lost, and it is %w", messages.err)
	}
	return nil
}

// dropTasks takes tasks off their queues and returns those that a worker holds.
func (r *Roster) dropTasks(ctx context.Context, tasks []queue.Ref) (active []queue.Ref, err error) {
	for _, t := range tasks {
		switch err := r.tasks.Delete(ctx, r.account, t.Class, t.ID); {
		case errors.Is(err, queue.ErrActive):
			active = append(active, t)
		case err != nil && !errors.Is(err, queue.ErrNotFound):
			return active, wrap(err, "erase a waiting message")
		}
	}
	return active, nil
}

// dropRest removes the tasks whose record is gone, and waits for those that workers
// hold: a worker may put one back, to be tried later.
func (r *Roster) dropRest(ctx context.Context, who people, sending []queue.Ref) error {
	rest, closed, err := r.findWaiting(ctx, who)
	if err == nil {
		err = r.checkRecorded(ctx, closed)
	}
	if err != nil {
		return err
	}
	sending = append(sending, rest...)
	for end := time.Now().Add(activeWait); ; {
		if sending, err = r.dropTasks(ctx, sending); err != nil || len(sending) == 0 {
			return err
		}
		if time.Now().After(end) {
			return ErrSending
		}
		if err := redisx.Sleep(ctx, activeLook); err != nil {
			return wrap(err, "wait for messages that are being sent")
		}
	}
}

// dropEvents takes the people's events out of the inbox that had come before their
// erasure began: what they did after it, such as following again, counts.
func (r *Roster) dropEvents(ctx context.Context, who people) (dropped int, err error) {
	rdb, key := r.rdb, r.keys.inbox()
	for from := "-"; ; {
		list, err := rdb.XRangeN(ctx, key, from, "+", 1000).Result()
		if err != nil || len(list) == 0 {
			return dropped, wrap(err, "search the inbox")
		}
		var ids []string
		for _, m := range list {
			from = "(" + m.ID
			event, err := entryIn(pendingEntry{m, 0}, r.names())
			if err == nil && (who.erases(event.OpenID, m.ID) || who.erases(event.Subject, m.ID)) {
				ids = append(ids, m.ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		pipe := rdb.Pipeline()
		pipe.XAck(ctx, key, inboxGroup, ids...)
		gone := pipe.XDel(ctx, key, ids...)
		if _, err := pipe.Exec(ctx); err != nil {
			return dropped, wrap(err, "take events out of the inbox")
		}
		dropped += int(gone.Val())
	}
}

// dropSync ends a synchronization whose place in the list of followers, or in the roster, is
// one of them: the next one begins anew.
func (r *Roster) dropSync(ctx context.Context, who people) error {
	s, err := r.loadSync(ctx, false)
	if err != nil {
		return err
	}
	_, user, _ := strings.Cut(s.cursor, " ")
	if !who.names(s.next) && !who.users[r.names().Open(seal.User, user)] {
		return nil
	}
	return wrap(r.rdb.Del(ctx, r.keys.sync()).Err(), "end the synchronization")
}

// erases reports whether the event with this ID is of openid, and of before its erasure.
func (p people) erases(openid, event string) bool {
	until, ok := p.openids[openid]
	return ok && openid != "" && (until == "" || redisx.CompareIDs(event, until) <= 0)
}
