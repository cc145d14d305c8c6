package queue

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wxnotify/wxnotify/internal/job"
)

// fieldPayload is the payload's number in asynq's TaskMessage.
const fieldPayload = 2

// message is asynq's TaskMessage.
func message(queue string, item Item) []byte {
	const fieldType, fieldID, fieldQueue, fieldRetry, fieldTimeout = 1, 3, 4, 5, 8
	b := make([]byte, 0, len(item.Payload)+len(item.ID)+len(queue)+48)
	b = protowire.AppendTag(b, fieldType, protowire.BytesType)
	b = protowire.AppendString(b, job.TaskType)
	b = protowire.AppendTag(b, fieldPayload, protowire.BytesType)
	b = protowire.AppendBytes(b, item.Payload)
	b = protowire.AppendTag(b, fieldID, protowire.BytesType)
	b = protowire.AppendString(b, item.ID)
	b = protowire.AppendTag(b, fieldQueue, protowire.BytesType)
	b = protowire.AppendString(b, queue)
	b = protowire.AppendTag(b, fieldRetry, protowire.VarintType)
	b = protowire.AppendVarint(b, maxRetry)
	b = protowire.AppendTag(b, fieldTimeout, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(taskLimit/time.Second))
}

// eachField calls do for each field of a message of asynq: its number, all its bytes, and
// where its value begins in them. It reports whether the message can be read.
func eachField(message []byte, do func(number protowire.Number, raw []byte, value int)) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, message[n:])
		if size < 0 {
			return false
		}
		do(number, message[:n+size], n)
		message = message[n+size:]
	}
	return true
}

// payloadOf reads the payload of asynq's TaskMessage.
func payloadOf(message []byte) (payload []byte, ok bool) {
	whole := eachField(message, func(number protowire.Number, raw []byte, value int) {
		if number == fieldPayload {
			var n int
			payload, n = protowire.ConsumeBytes(raw[value:])
			ok = n >= 0
		}
	})
	return payload, ok && whole
}

// withPayload is asynq's TaskMessage with another payload. payloadOf has read the message.
func withPayload(message, payload []byte) []byte {
	out := make([]byte, 0, len(message)+len(payload))
	eachField(message, func(number protowire.Number, raw []byte, _ int) {
		if number == fieldPayload {
			raw = protowire.AppendBytes(protowire.AppendTag(nil, fieldPayload, protowire.BytesType), payload)
		}
		out = append(out, raw...)
	})
	return out
}

// withoutPayload removes the payload from asynq's WorkerInfo. Of what cannot be read
// nothing is left.
func withoutPayload(info []byte) []byte {
	const taskPayload = 6
	out := make([]byte, 0, len(info))
	if !eachField(info, func(number protowire.Number, raw []byte, _ int) {
		if number != taskPayload {
			out = append(out, raw...)
		}
	}) {
		return out[:0]
	}
	return out
}
