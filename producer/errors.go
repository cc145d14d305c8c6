package producer

import (
	"errors"
	"fmt"

	"github.com/wxnotify/wxnotify/internal/redisx"
	"github.com/wxnotify/wxnotify/wechat"
)

// ErrNotFound says that no message has this ID, or its end is longer ago than Keep.
var ErrNotFound error = &notFoundError{
	"producer: no message has this ID: it was never enqueued, or its end is longer ago than it is kept; " +
		"an Enqueue that was cut off may still arrive: repeat it before you cancel",
	"producer: 没有此 ID 的消息：从未入队，或结束已超过保留时间；被中断的 Enqueue 仍可能到达：取消前请先重复入队",
}

type notFoundError struct{ en, zh string }

func (e *notFoundError) Error() string              { return e.en }
func (e *notFoundError) In(lang wechat.Lang) string { return lang.Choose(e.en, e.zh) }

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
