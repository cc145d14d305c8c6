package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/heartbeat"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// The overview tells what is wrong with Redis, and of messages under an appid that no
// process serves, as after a typing error.
func TestOverviewNamesWhatIsWrongBesideTheAccounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.rdb.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	const stray, served = "wx000000000000dead", "wx000000000000beef"
	for _, appid := range []string{stray, served} {
		p := must[*producer.Producer](t)(producer.New(b.rdb, producer.Config{Account: appid}))
		if _, err := p.Enqueue(t.Context(), "one", &wechat.TemplateMessage{ToUser: openid, TemplateID: template, Data: map[string]wechat.Field{"thing1": {Value: "x"}}}); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := heartbeat.NewReporter(b.rdb, served, heartbeat.Worker{ID: "w", Host: "h", Started: time.Now()}).Beat(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	page := b.get(t, "/")
	page.must(t, "English", http.StatusOK, "action needed", "appendonly is off", "may evict data", "Account "+stray+" has messages that wait and no worker")
	if strings.Contains(page.body, served) {
		t.Error("an account that a worker serves is told")
	}
	b.get(t, "/?lang=zh").must(t, "Chinese", http.StatusOK, "需要处理", "appendonly 未开启", "可能淘汰数据", stray+" 有消息在等待")
}

func TestOverviewNamesAQueueWithoutItsData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.account.Producer.Enqueue(t.Context(), "one", &wechat.TemplateMessage{ToUser: openid, TemplateID: template, Data: map[string]wechat.Field{"thing1": {Value: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.Del(t.Context(), "asynq:{"+account+":default}:t:one").Err(); err != nil {
		t.Fatal(err)
	}
	b.get(t, "/").must(t, "the overview", http.StatusOK, "Queue default has tasks whose data is gone")
}
