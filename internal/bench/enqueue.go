package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	taskType     = "wechat:template.send"
	openIDPrefix = "oBenchFollower"
	templateID   = "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"
)

func queueOf(class string) string { return appID + ":" + class }

func pendingKey(class string) string { return "asynq:{" + queueOf(class) + "}:pending" }

func messageID(prefix string, i int) string { return fmt.Sprintf("%s-%08d", prefix, i) }

// lettersAbove is from a digit to the letter that stands for it in an openid. WeChat's
// openids are random: a run of six digits, in which mask looks for a phone number, is
// in one of a few thousand.
const lettersAbove = 'A' - '0'

// openID tells the number of its message.
func openID(i int) string {
	return openIDPrefix + strings.Map(func(digit rune) rune { return digit + lettersAbove }, fmt.Sprintf("%014d", i))
}

// message i has its number in the openid.
func message(i int) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: openID(i), TemplateID: templateID,
		URL: fmt.Sprintf("https://shop.example.com/orders/%08d", i),
		Data: map[string]wechat.Field{
			"thing1": {Value: "红富士苹果 5 kg"}, "time2": {Value: "2026-11-22 08:30"}, "amount3": {Value: "¥128.50"},
		},
	}
}

// payload has the bytes of the task that wxnotify queues.
func payload(prefix string, i int) []byte {
	m := message(i)
	m.ClientMsgID = messageID(prefix, i)
	terms := fmt.Appendf(nil, `{"v":1,"id":%q,"c":"default","to":%q,"t":%q,"q":1795703234024}`+"\n", m.ClientMsgID, m.ToUser, templateID)
	return append(terms, must(json.Marshal(m))...)
}

// concurrently makes n calls from 64 goroutines.
func concurrently(n int, call func(i int) error) {
	var next atomic.Int64
	var g errgroup.Group
	for range 64 {
		g.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := call(int(i - 1)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(g.Wait())
}

// enqueuePlain is asynq's client with the least that its caller must do: give the
// task an ID and encode the body. A bare sender gets the bytes of ours.
func enqueuePlain(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	client, queue := asynq.NewClientFromRedisClient(rdb), asynq.Queue(queueOf(j.Class))
	body := payload
	if j.Build == plain {
		body = func(_ string, i int) []byte { return must(json.Marshal(message(i))) }
	}
	concurrently(j.Messages, func(i int) error {
		_, err := client.EnqueueContext(ctx, asynq.NewTask(taskType, body(j.Prefix, i)), queue, asynq.TaskID(messageID(j.Prefix, i)))
		m.add(1)
		if errors.Is(err, asynq.ErrTaskIDConflict) {
			return nil
		}
		return err //nolint:wrapcheck // ends the program
	})
}

// The least that a task and a record need, in scripts that keep what exists.
var (
	rawTask = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[3])
return 1`)
	rawRecord = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1`)
)

// enqueueRaw sends both scripts in pipelines. It makes no message, checks nothing
// and reads no answer.
func enqueueRaw(ctx context.Context, j job, rdb redis.UniversalClient, m *meter) {
	const chunk = 500
	check(errors.Join(rawTask.Load(ctx, rdb).Err(), rawRecord.Load(ctx, rdb).Err()))
	stored := string(payload(j.Prefix, 0)) + strings.Repeat("#", 80) // asynq's own fields
	for from := 0; from < j.Messages; from += chunk {
		pipe := rdb.Pipeline()
		n := min(chunk, j.Messages-from)
		for i := range n {
			id := messageID(j.Prefix, from+i)
			rawRecord.EvalSha(ctx, pipe, []string{"wxn:{" + appID + "}:m:" + id}, 1_209_600_000,
				"s", "q", "c", "d", "t", openID(0), "p", templateID, "h", "aQoAViUn5tU", "q", 1795703234024)
			rawTask.EvalSha(ctx, pipe, []string{"asynq:{" + queueOf(j.Class) + "}:t:" + id, pendingKey(j.Class)}, stored, 1795703234025710472, id)
		}
		must(pipe.Exec(ctx))
		m.add(int64(n))
	}
}
