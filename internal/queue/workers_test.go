package queue_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wxnotify/wxnotify/internal/queue"
)

// workerInfo is a WorkerInfo of asynq, with the fields that are texts.
func workerInfo(payload string) []byte {
	var b []byte
	for number, text := range []string{1: "host", 4: "id-1", 5: "wechat:template.send", 6: payload, 7: "wx1:bulk"} {
		if text != "" {
			b = protowire.AppendTag(b, protowire.Number(number), protowire.BytesType)
			b = protowire.AppendString(b, text)
		}
	}
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, 4711)
}

// What asynq writes about its workers loses the payload and nothing else; other scripts
// pass as they are.
func TestWorkersAreWrittenWithoutPayloads(t *testing.T) {
	t.Parallel()
	const payload = "CANARY"
	keys := []string{"asynq:servers:{h:1:s}", "asynq:workers:{h:1:s}"}
	args := []any{10.0, []byte("server"), "id-1", workerInfo(payload), "id-2", workerInfo("")}
	got := queue.WithoutPayloads(keys, args)
	first, _ := got[3].([]byte)
	if string(first) != string(workerInfo("")) || len(got) != len(args) || got[2] != "id-1" {
		t.Errorf("%q", got)
	}
	if second, _ := got[5].([]byte); string(second) != string(workerInfo("")) {
		t.Errorf("a worker without a payload changed: %q", second)
	}
	if original, _ := args[3].([]byte); !strings.Contains(string(original), payload) {
		t.Error("the caller's arguments were changed")
	}
	if got := queue.WithoutPayloads(keys, []any{10.0, []byte("server"), "id-1", []byte("\xff\xff" + payload)}); strings.Contains(string(got[3].([]byte)), payload) {
		t.Errorf("what cannot be read is passed on: %q", got)
	}
	for _, other := range [][]string{{"asynq:{q}:pending", "asynq:{q}:t:x"}, {keys[1]}, nil} {
		if got := queue.WithoutPayloads(other, args); string(got[3].([]byte)) != string(workerInfo(payload)) {
			t.Errorf("%v: another script's arguments changed", other)
		}
	}
}
