package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestPayloadIsThatOfADeadLetter(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l, e := open(t, rdb), envelope("dead-1")
		create(t, rdb, record(e))
		if got, err := l.Payload(t.Context(), e.ID); err != nil || got != nil {
			t.Errorf("before its death: %q, %v", got, err)
		}
		begin(t, l, e)
		failed(t, l, e.ID, ledger.Outcome{State: ledger.Dead, Class: e.Class, Payload: []byte("the envelope")})
		if got, err := l.Payload(t.Context(), e.ID); err != nil || string(got) != "the envelope" {
			t.Errorf("of a dead letter: %q, %v", got, err)
		}
	})
}

func TestAMessageIsFoundByItsMsgID(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l, e := open(t, rdb), envelope("accepted-1")
		const msgid = wechat.MessageID(3000000000000000001)
		create(t, rdb, record(e))
		begin(t, l, e)
		accepted(t, l, e.ID, ledger.Acceptance{MsgID: msgid, Class: e.Class})
		for msgid, want := range map[wechat.MessageID]string{msgid: e.ID, msgid + 1: ""} {
			if id, err := l.ByMsgID(t.Context(), msgid); err != nil || id != want {
				t.Errorf("msgid %s: %q, %v; want %q", msgid, id, err, want)
			}
		}
	})
}

// The payloads of dead letters, of accepted messages and of earlier versions are replaced;
// their lives stay, and what changed in between is left alone.
func TestRewritePayloads(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, rdb *redis.Client) {
		t.Helper()
		l := open(t, rdb)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		prefix := "wxn:{" + account + "}:"
		for key, text := range map[string]string{"p:one": "old 1", "p:stays": "new", "dead:two": "old 2", "p:changes": "old 3"} {
			must(rdb.Set(t.Context(), prefix+key, text, time.Hour).Err())
		}
		must(rdb.ZAdd(t.Context(), prefix+"dead", redis.Z{Member: "one"}).Err())
		written, left, err := l.RewritePayloads(t.Context(), func(id string, payload []byte) []byte {
			if id == "changes" {
				must(rdb.Set(t.Context(), prefix+"p:changes", "later", time.Hour).Err())
			}
			if text, old := strings.CutPrefix(string(payload), "old"); old {
				return []byte("new" + text + " of " + id)
			}
			return nil
		})
		if err != nil || written != 2 || left != 1 {
			t.Errorf("written %d, left %d, %v", written, left, err)
		}
		for key, want := range map[string]string{"p:one": "new 1 of one", "p:stays": "new", "dead:two": "new 2 of two", "p:changes": "later"} {
			if got := rdb.Get(t.Context(), prefix+key).Val(); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
			if life := rdb.TTL(t.Context(), prefix+key).Val(); life < 50*time.Minute {
				t.Errorf("%s lives for %v", key, life)
			}
		}
	})
}
