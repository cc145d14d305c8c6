package producer_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	account  = "wx1234567890abcdef"
	openid   = "oABCdefGHIjklMNOpqrSTUvwxYZ0"
	template = "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	*producer.Producer
	rdb     *redis.Client
	records *ledger.Ledger
	tasks   *queue.Inspector
}

// setup is a producer on a real server of its own, and what stands behind it.
func setup(tb testing.TB, change ...func(*producer.Config)) *bundle {
	tb.Helper()
	return around(tb, redistest.Start(tb).Strict(tb, "+keys", "+flushall", "+script|flush", "+lmove", "+config|set").Client, change...)
}

func around(tb testing.TB, rdb *redis.Client, change ...func(*producer.Config)) *bundle {
	tb.Helper()
	cfg := producer.Config{Account: account}
	for _, c := range change {
		c(&cfg)
	}
	p, err := producer.New(rdb, cfg)
	must(tb, err)
	records, err := ledger.New(rdb, account, nil, ledger.Config{})
	must(tb, err)
	tb.Cleanup(func() {
		if err := errors.Join(p.Close(), records.Close()); err != nil {
			tb.Error(err)
		}
	})
	return &bundle{Producer: p, rdb: rdb, records: records, tasks: queue.NewInspector(rdb)}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func message(value string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: openid, TemplateID: template, URL: "https://shop.example/o/1001?a=1&b=2",
		Data: map[string]wechat.Field{"thing1": {Value: value}},
	}
}

// waiting counts the tasks of a class, wherever they wait.
func (b *bundle) waiting(tb testing.TB, class producer.ClassName) int {
	tb.Helper()
	queues, err := b.tasks.Queues(tb.Context(), account)
	must(tb, err)
	for _, q := range queues {
		if string(q.Class) == string(class) {
			return int(q.Pending + q.Scheduled + q.Retry + q.Archived + q.Active)
		}
	}
	return 0
}

// envelope reads the task of id as a worker would.
func (b *bundle) envelope(tb testing.TB, class producer.ClassName, id string) job.Envelope {
	tb.Helper()
	info, err := asynq.NewInspectorFromRedisClient(b.rdb).GetTaskInfo(queue.Name(account, class), id)
	must(tb, err)
	e, err := job.Parse(info.Payload)
	must(tb, err)
	return e
}

func (b *bundle) status(tb testing.TB, id string, want producer.State) *producer.Status {
	tb.Helper()
	s, err := b.Status(tb.Context(), id)
	must(tb, err)
	if s.State != want {
		tb.Fatalf("%s is %s (%s), want %s", id, s.State, s.Reason, want)
	}
	return s
}

func faultsOf(tb testing.TB, err error) map[string]wechat.FaultCode {
	tb.Helper()
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) {
		tb.Fatalf("got %v, want an InvalidError", err)
	}
	codes := map[string]wechat.FaultCode{}
	for _, f := range invalid.Faults {
		codes[f.Path] = f.Code
	}
	return codes
}

func many(n int) []producer.Message {
	list := make([]producer.Message, n)
	for i := range list {
		list[i] = producer.Message{ID: fmt.Sprintf("many-%07d", i), Message: message(fmt.Sprint("number ", i))}
	}
	return list
}

// accepted records WeChat's yes to the first delivery.
func accepted(tb testing.TB, records *ledger.Ledger, id string, a ledger.Acceptance) {
	tb.Helper()
	_, err := records.Accepted(tb.Context(), id, 1, a)
	must(tb, err)
}
