package ledger

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/wechat"
)

// Payload returns the envelope that is kept of a message that may be sent again: of a
// dead letter, or of an accepted message until its receipt. Nil: none is kept.
func (l *Ledger) Payload(ctx context.Context, id string) ([]byte, error) {
	for _, key := range []string{l.payloadKey(id), l.oldDeadLetterKey(id)} {
		cmd := redis.NewStringCmd(ctx, "get", key)
		if err := l.do(ctx, "read a payload", cmd); err != nil {
			return nil, err
		}
		if cmd.Err() == nil {
			return []byte(cmd.Val()), nil
		}
	}
	return nil, nil
}

// ByMsgID returns the ID of the message to which WeChat gave msgid, or an empty one when
// none is known.
func (l *Ledger) ByMsgID(ctx context.Context, msgid wechat.MessageID) (string, error) {
	cmd := redis.NewStringCmd(ctx, "get", l.msgidKey(msgid))
	if err := l.do(ctx, "look for a msgid", cmd); err != nil {
		return "", err
	}
	id, _ := messageOf(cmd.Val())
	return id, nil
}
