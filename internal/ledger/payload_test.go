package ledger_test

import (
	"testing"

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
