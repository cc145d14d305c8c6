package ledger

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
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

// rewriteScript: KEYS[1] the payload. ARGV: it as it was read, and the new one. The life
// stays. Returns 1: written; 0: it is gone or changed since.
var rewriteScript = redisx.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`)

// RewritePayloads replaces the envelopes that are kept of messages by what change returns;
// nil leaves one as it is. left is how many have changed in between: call it again.
func (l *Ledger) RewritePayloads(ctx context.Context, change func(id string, payload []byte) []byte) (written, left int, err error) {
	for _, prefix := range []string{l.payloadKey(""), l.oldDeadLetterKey("")} {
		err := l.eachKey(ctx, prefix, func(keys []string) error {
			done, asked, err := l.rewritePart(ctx, prefix, keys, change)
			written, left = written+done, left+asked-done
			return err
		})
		if err != nil {
			return written, left, err
		}
	}
	return written, left, nil
}

// rewritePart rewrites the envelopes of these keys, and returns how many of those that
// change replaced.
func (l *Ledger) rewritePart(
	ctx context.Context, prefix string, keys []string, change func(id string, payload []byte) []byte,
) (written, replaced int, err error) {
	reads := make([]redis.Cmder, len(keys))
	for i, key := range keys {
		reads[i] = redis.NewStringCmd(ctx, "get", key)
	}
	if err := l.do(ctx, "read the payloads", reads...); err != nil {
		return 0, 0, err
	}
	var writes []redis.Cmder
	for i, key := range keys {
		old, _ := reads[i].(*redis.StringCmd)
		if old.Err() != nil { // it has gone
			continue
		}
		if payload := change(strings.TrimPrefix(key, prefix), []byte(old.Val())); payload != nil {
			writes = append(writes, rewriteScript.Call(ctx, []string{key}, old.Val(), payload))
		}
	}
	if err := l.do(ctx, "rewrite the payloads", writes...); err != nil {
		return 0, 0, err
	}
	for _, write := range writes {
		if call, _ := write.(*redisx.Call); call.Val() == int64(1) {
			written++
		}
	}
	return written, len(writes), nil
}
