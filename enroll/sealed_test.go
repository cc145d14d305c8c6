package enroll_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// Sealed messages of a person are erased by their records, without a key. One whose
// record was lost is found with the key, and without it the erasure says so and is not
// taken for done.
func TestSealedMessagesAreErased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const key, other = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f", "oSIM6t0other000000000000001"
		w := newWorld(t, settings{})
		p, err := producer.New(w.rdb, producer.Config{Account: appID, SealKeys: wechat.NewSecret(key)})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		for id, to := range map[string]string{"hers-1": openID, "hers-lost": openID, "other-1": other, "other-lost": other} {
			_, err := p.Enqueue(t.Context(), id, &wechat.TemplateMessage{
				ToUser: to, TemplateID: wechattest.TemplateOrderPaid, Data: map[string]wechat.Field{"thing1": {Value: "苹果"}},
			})
			must(t, err)
		}
		must(t, w.rdb.Del(t.Context(), w.records.RecordKey("hers-lost"), w.records.RecordKey("other-lost")).Err())
		tasks := func() (left []string) {
			_, _, err := queue.NewInspector(w.rdb).Each(t.Context(), appID, func(task queue.Ref, _ []byte) []byte {
				left = append(left, task.ID)
				return nil
			})
			must(t, err)
			slices.Sort(left)
			return left
		}
		keys, err := seal.New(key)
		must(t, err)
		_, err = w.roster.Erase(t.Context(), enroll.Person{OpenID: openID})
		if err == nil || !strings.Contains(err.Error(), "its record is lost, and it is sealed with key "+keys.Current()) {
			t.Fatalf("without the key: %v", err)
		}
		if got := tasks(); !slices.Equal(got, []string{"hers-lost", "other-1", "other-lost"}) {
			t.Errorf("tasks %v are left", got)
		}
		with := newRoster(t, w.rdb, appID, func(c *enroll.RosterConfig) { c.SealKeys = wechat.NewSecret(key) })
		_, err = with.Erase(t.Context(), enroll.Person{OpenID: openID})
		must(t, err)
		if got := tasks(); !slices.Equal(got, []string{"other-1", "other-lost"}) {
			t.Errorf("with the key tasks %v are left", got)
		}
		for _, entry := range w.dump() {
			if strings.Contains(entry, openID) {
				t.Errorf("still readable: %.300s", entry)
			}
		}
		codec := job.NewCodec(appID, keys)
		task, err := queue.NewInspector(w.rdb).Task(t.Context(), appID, job.Default, "other-lost")
		must(t, err)
		if e, err := codec.Parse("other-lost", task.Payload); err != nil || e.To != other {
			t.Errorf("another person's message: %+v, %v", e, err)
		}
		if _, err := enroll.NewRoster(enroll.RosterConfig{Redis: w.rdb, Account: appID, SealKeys: wechat.NewSecret("x")}); err == nil || !strings.Contains(err.Error(), "SealKeys") {
			t.Errorf("a key that is none: %v", err)
		}
	})
}
