package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// result is one of the results of a call with many messages.
type result struct {
	ID      string           `json:"id"`
	Status  int              `json:"status"`
	Message *producer.Status `json:"message,omitempty"`
	Problem *problem         `json:"problem,omitempty"`
}

func (s *server) postMessages(c *call) error {
	return c.once(func(body []byte) error {
		items, many, err := readItems(body)
		if err != nil {
			return err
		}
		for i := range items {
			c.admit(&items[i], i)
		}
		results, err := c.enqueue(items)
		switch {
		case err != nil:
			return err
		case many:
			for i := range results {
				if p := results[i].Problem; p != nil {
					p.in(c.lang(), c.id)
				}
			}
			return c.answer(http.StatusMultiStatus, map[string][]result{"results": results})
		case results[0].Problem != nil:
			return results[0].Problem
		}
		return c.answer(results[0].Status, results[0].Message)
	})
}

// admit checks what the key may do with the message. What is wrong with the
// message itself is found by the producer.
func (c *call) admit(it *item, index int) {
	if it.problem != nil {
		return
	}
	if err := c.ofAccount(it.Account); err != nil {
		it.problem = problemOf(err)
		return
	}
	if it.ID == "" && c.r.Header.Get("Idempotency-Key") != "" {
		it.ID = c.derivedID(index)
	}
	class := it.Terms.Class
	if class == "" {
		class = producer.Default
	}
	recipient := it.Terms.User
	if recipient == "" && it.Message.Message != nil {
		recipient = it.Message.Message.ToUser
	}
	switch {
	case !c.key.MayUse(class):
		it.problem = problemf(http.StatusForbidden, codeClass, "the key may use class %s and less urgent ones", c.key.Class)
	case !c.key.MayReach(recipient) && !job.Simulated(recipient):
		it.problem = problemf(http.StatusForbidden, codeRecipient, "the recipient is not in the key's guest list")
	}
	it.Terms.Test, it.Terms.Key = c.key.Kind == apikey.Test, c.key.ID
}

// derivedID names the message by the call's Idempotency-Key, so that a repeated
// call enqueues nothing twice even when its first answer was not kept.
func (c *call) derivedID(index int) string {
	sum := sha256.Sum256([]byte(c.key.ID + "\n" + c.r.Header.Get("Idempotency-Key")))
	return "idem-" + hex.EncodeToString(sum[:10]) + "-" + strconv.Itoa(index)
}

// enqueue enqueues what is not refused and returns a result for each item.
func (c *call) enqueue(items []item) ([]result, error) {
	results := make([]result, len(items))
	var index []int // of the items that go to the producer
	var messages []producer.Message
	for i, it := range items {
		if it.problem != nil {
			results[i] = result{ID: it.ID, Status: it.problem.Status, Problem: it.problem}
			continue
		}
		index, messages = append(index, i), append(messages, it.Message)
	}
	if len(messages) == 0 {
		return results, nil
	}
	booked, err := c.server.keys.Book(c.r.Context(), c.key, len(messages), c.account.Gate)
	if err != nil {
		return nil, err
	}
	enqueued, err := c.account.Producer.EnqueueMany(c.r.Context(), messages)
	var partial *producer.PartialError
	if err != nil && !errors.As(err, &partial) {
		if errors.Is(err, producer.ErrRedisFull) { // after any other error some may be enqueued
			c.refund(booked, len(messages))
		}
		return nil, err
	}
	unused := 0
	var again []string // IDs known already, whose state is read
	for n, r := range enqueued {
		i := index[n]
		switch {
		case r.Err != nil:
			unused++
			p := items[i].refused(r.Err)
			results[i] = result{ID: items[i].ID, Status: p.Status, Problem: p}
		case r.Duplicate:
			unused++
			again = append(again, r.ID)
			results[i] = result{ID: r.ID, Status: http.StatusOK}
		default:
			results[i] = result{ID: r.ID, Status: http.StatusAccepted, Message: c.enqueued(items[i].Message, r)}
		}
	}
	c.refund(booked, unused)
	return results, c.fill(results, again)
}

// enqueued is the status of a message that was enqueued just now, without a read.
func (c *call) enqueued(m producer.Message, r producer.Result) *producer.Status {
	s := &producer.Status{
		ID: r.ID, Account: c.account.AppID, Class: r.Class, State: r.State, To: m.Message.ToUser, TemplateID: m.Message.TemplateID, Key: m.Terms.Key,
		QueuedAt: r.QueuedAt, NotBefore: asRecorded(m.Terms.NotBefore), NotAfter: asRecorded(m.Terms.NotAfter),
	}
	if s.To != "" && !c.key.May(apikey.ReadOpenID) {
		s.To = wechat.MaskOpenID(s.To)
	}
	return s
}

// asRecorded is a time as a record keeps it.
func asRecorded(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}

// fill reads the states of messages that were known already.
func (c *call) fill(results []result, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	states, err := c.account.Producer.StatusMany(c.r.Context(), ids, c.views()...)
	if err != nil {
		return err
	}
	n := 0
	for i := range results {
		if results[i].Problem == nil && results[i].Message == nil {
			results[i].Message = states[n]
			n++
		}
	}
	return nil
}

// views shows texts in the caller's language, and openids whole only to a key that may
// read them.
func (c *call) views() []producer.View {
	views := []producer.View{producer.In(c.lang())}
	if c.key.May(apikey.ReadOpenID) {
		views = append(views, producer.Unmasked())
	}
	return views
}

// refund gives back what was counted and not enqueued.
func (c *call) refund(b apikey.Booking, n int) {
	if err := b.Refund(c.r.Context(), n); err != nil {
		c.server.log.Warn("a key's count of the day is too high", append(c.fields(), zap.NamedError("cause", err))...)
	}
}

// messageID is the path's. The mux has decoded it.
func (c *call) messageID() string { return c.r.PathValue("id") }

// noMessage says of an unknown ID that is masked that it is.
func (c *call) noMessage(err error) error {
	if errors.Is(err, producer.ErrNotFound) && mask.Masked(c.messageID()) {
		return problemf(http.StatusNotFound, codeNotFound, "the ID is masked, as logs and pages show one that holds personal data, and no message is found by it: send the whole ID; GET /v1/messages lists them")
	}
	return err
}

func (s *server) getMessage(c *call) error {
	views := c.views()
	values, faults := parameters(c.r.URL.RawQuery, []string{"include"}, "")
	switch {
	case len(faults) > 0:
		return malformed(faults...)
	case values.Get("include") == "attempts":
		views = append(views, producer.Story())
	case values.Has("include"):
		return malformed(newFault("/include", "value-form", "must be attempts"))
	}
	return c.answerMessage(views)
}

// answerMessage answers with the message of the path.
func (c *call) answerMessage(views []producer.View) error {
	status, err := c.account.Producer.Status(c.r.Context(), c.messageID(), views...)
	if err != nil {
		return c.noMessage(err)
	}
	return c.answer(http.StatusOK, status)
}

// deleteMessage cancels a message. A key that does not reach every follower cancels what it
// enqueued itself: others are the business of live keys.
func (s *server) deleteMessage(c *call) error {
	if c.key.Kind != apikey.Live {
		status, err := c.account.Producer.Status(c.r.Context(), c.messageID())
		if err != nil {
			return err
		}
		if status.Key != c.key.ID {
			return problemf(http.StatusForbidden, codeScope, "a %s key cancels only messages that it enqueued", c.key.Kind)
		}
	}
	if err := c.account.Producer.Cancel(c.r.Context(), c.messageID()); err != nil {
		return c.noMessage(err)
	}
	return c.answerMessage(c.views())
}
