package producer

import (
	"errors"
	"fmt"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// ErrNotFound says that no message has this ID, or its end is longer ago than Keep.
var ErrNotFound error = errNotFound

var errNotFound = &notFoundError{
	"producer: no message has this ID: it was never enqueued, or its end is longer ago than it is kept; " +
		"an Enqueue that was cut off may still arrive: repeat it before you cancel",
	"producer: 没有此 ID 的消息：从未入队，或结束已超过保留时间；被中断的 Enqueue 仍可能到达：取消前请先重复入队",
}

type notFoundError struct{ en, zh string }

func (e *notFoundError) Error() string              { return e.en }
func (e *notFoundError) In(lang wechat.Lang) string { return lang.Choose(e.en, e.zh) }

// noMessageError is ErrNotFound of one ID.
type noMessageError struct{ id string }

func (e *noMessageError) Error() string { return e.In(wechat.English) }

// In is Error in lang.
func (e *noMessageError) In(lang wechat.Lang) string {
	if mask.Masked(e.id) {
		return fmt.Sprintf(lang.Choose(
			"producer: %s is a masked ID, as logs and pages show one that holds personal data, and no message is found by it: "+
				"take the whole ID from the program that enqueued the message, or from `wxnotify messages --unmasked`",
			"producer: %s 是打码后的 ID（日志和页面对含个人信息的 ID 打码），无法据此找到消息：请从入队的程序或用 `wxnotify messages --unmasked` 获取完整的 ID",
		), printable(e.id))
	}
	return fmt.Sprintf(lang.Choose("%s (ID %s)", "%s（ID %s）"), errNotFound.In(lang), printable(e.id))
}

// Is reports whether target is ErrNotFound.
func (e *noMessageError) Is(target error) bool { return target == ErrNotFound }

// ErrIDReused matches every *IDReusedError.
var ErrIDReused = errors.New("producer: the ID belongs to another message")

// ErrTooLate matches every *TooLateError.
var ErrTooLate = errors.New("producer: too late to cancel")

// ErrRedisFull says that Redis uses so much of its memory that the workers could soon not
// go on. Enqueue again later, or give Redis more memory.
var ErrRedisFull = redisx.ErrFull

// ErrClosed is returned by Enqueue after Close.
var ErrClosed = errors.New("producer: closed")

// ErrBusy asks for a repetition in a second: a worker is completing the task of an
// earlier message with the same ID, which has ended and is remembered no more.
var ErrBusy = errors.New("a worker is completing the task of an earlier message with this ID: repeat the call in a second")

// failed wraps what Enqueue returns.
func failed(err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("producer: enqueue: %w", err)
}

// IDReusedError says that the ID was used for a message with other content or
// another recipient. Nothing was enqueued.
type IDReusedError struct {
	ID    string
	State State // of the message that has the ID
}

func (e *IDReusedError) Error() string { return e.In(wechat.English) }

// In is Error in lang.
func (e *IDReusedError) In(lang wechat.Lang) string {
	return fmt.Sprintf(lang.Choose(
		"producer: the ID %s belongs to another message (%s): choose a new ID for other content",
		"producer: ID %s 属于另一条消息（%s）：内容不同请换新的 ID",
	), e.ID, e.State.In(lang))
}

// Is reports whether target is ErrIDReused.
func (e *IDReusedError) Is(target error) bool { return target == ErrIDReused }

// TooLateError says why a message cannot be cancelled.
type TooLateError struct {
	ID    string
	State State
}

func (e *TooLateError) Error() string { return e.In(wechat.English) }

// In is Error in lang.
func (e *TooLateError) In(lang wechat.Lang) string {
	return fmt.Sprintf(lang.Choose("producer: too late to cancel %s: it is %s", "producer: %s 已无法取消：%s"), e.ID, e.State.In(lang))
}

// Is reports whether target is ErrTooLate.
func (e *TooLateError) Is(target error) bool { return target == ErrTooLate }

// PartialError says that some messages of an EnqueueMany were not enqueued.
// Their results tell which and why.
type PartialError struct {
	Failed, Total int
	First         error // the error of the first that failed
	FirstID       string
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("producer: %d of %d messages were not enqueued, the first is %s: %v", e.Failed, e.Total, printable(e.FirstID), e.First)
}

// Unwrap returns the error of the first that failed.
func (e *PartialError) Unwrap() error { return e.First }
