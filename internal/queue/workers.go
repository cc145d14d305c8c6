package queue

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// withoutPayloads returns the arguments of a script without the payloads, when it is
// the one by which asynq writes every five seconds what its workers do: openid and text
// of a message would stay readable in asynq:workers after the person was erased. The
// consoles that read it show the task's ID.
//
// asynq's keys are the state of the server and that of its workers; its arguments are
// a lifetime, the server, and for each worker its ID and a WorkerInfo.
func withoutPayloads(keys []string, args []any) []any {
	const first, step = 3, 2
	if len(keys) != 2 || !strings.HasPrefix(keys[1], "asynq:workers:{") {
		return args
	}
	out := slices.Clone(args)
	for i := first; i < len(out); i += step {
		if info, ok := out[i].([]byte); ok {
			out[i] = withoutPayload(info)
		}
	}
	return out
}

// withoutPayload removes the payload from asynq's WorkerInfo. Of what cannot be read
// nothing is left.
func withoutPayload(info []byte) []byte {
	const taskPayload = 6
	out := make([]byte, 0, len(info))
	for len(info) > 0 {
		number, kind, n := protowire.ConsumeTag(info)
		if n < 0 {
			return []byte{}
		}
		size := protowire.ConsumeFieldValue(number, kind, info[n:])
		if size < 0 {
			return []byte{}
		}
		if number != taskPayload {
			out = append(out, info[:n+size]...)
		}
		info = info[n+size:]
	}
	return out
}
