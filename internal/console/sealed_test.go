package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

const sealKey = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"

// A sealed message's card is shown where the key is. Without the key the page names it,
// and the message can be acted on all the same.
func TestASealedMessageIsShownWithItsKeyAndRetriedWithoutIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keys := must[*seal.Keyring](t)(seal.New(sealKey))
	p := must[*producer.Producer](t)(producer.New(b.rdb, producer.Config{Account: account, SealKeys: wechat.NewSecret(sealKey)}))
	t.Cleanup(func() { _ = p.Close() })
	if _, err := p.Enqueue(t.Context(), "visit-1", body()); err != nil {
		t.Fatal(err)
	}
	const card = "The card, values masked"
	page := b.get(t, "/message?id=visit-1")
	page.must(t, "without the key", http.StatusOK, "sealed with key "+keys.Current(), "WXNOTIFY_SEAL_KEYS")
	if strings.Contains(page.body, "thing1") {
		t.Error("without the key the page shows fields")
	}

	tasks := queue.NewInspector(b.rdb)
	task := must[*queue.Waiting](t)(tasks.Task(t.Context(), account, job.Default, "visit-1"))
	e := must[job.Envelope](t)(job.NewCodec(account, keys).Parse("visit-1", task.Payload))
	if err := tasks.Delete(t.Context(), account, job.Default, "visit-1"); err != nil {
		t.Fatal(err)
	}
	if s := must[ledger.Start](t)(b.account.Ledger.Begin(t.Context(), e, ledger.Delivery{N: 1})); s.Decision != ledger.Send {
		t.Fatalf("begin: %+v", s)
	}
	if err := b.account.Ledger.Failed(t.Context(), "visit-1", 1, ledger.Outcome{State: ledger.Dead, Class: e.Class, Attempt: true, Payload: task.Payload}); err != nil {
		t.Fatal(err)
	}
	story := b.get(t, "/message?id=visit-1")
	question := b.post(t, "/act", append(story.hidden(t, "/console/act"), "do", "retry")...)
	b.confirm(t, question, "/act").must(t, "the retry", http.StatusOK, "Put on its queue again.")

	b.account.SealKeys = keys
	b.again(t)
	page = b.get(t, "/message?id=visit-1")
	page.must(t, "with the key", http.StatusOK, card, "thing1")
	for _, secret := range append(canaries(), sealKey[:16]) {
		if strings.Contains(page.body, secret) {
			t.Errorf("the page shows %q", secret)
		}
	}
}
