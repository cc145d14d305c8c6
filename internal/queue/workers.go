package queue

import (
	"slices"
	"strings"
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
