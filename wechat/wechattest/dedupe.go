package wechattest

import (
	"hash/maphash"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// dedupe remembers recent sends of one account.
type dedupe struct {
	ids      map[idKey]sentID
	idQueue  []idKey // keys of ids, oldest first
	content  map[uint64]time.Time
	hashSeed maphash.Seed
	swept    time.Time // when content was last cleaned
}

type idKey struct{ openid, clientMsgID string }

type sentID struct {
	msgid wechat.MessageID
	at    time.Time
}

// contentWindow is the window of errcode 40241, "duplicate in 60 seconds".
const contentWindow = time.Minute

func newDedupe() dedupe {
	return dedupe{ids: map[idKey]sentID{}, content: map[uint64]time.Time{}, hashSeed: maphash.MakeSeed()}
}

// byID returns the message sent with this key within the window.
func (d *dedupe) byID(key idKey, now time.Time, window time.Duration) (wechat.MessageID, bool) {
	first, ok := d.ids[key]
	if !ok || now.Sub(first.at) >= window {
		return 0, false
	}
	return first.msgid, true
}

func (d *dedupe) remember(key idKey, msgid wechat.MessageID, now time.Time, window time.Duration) {
	if key.clientMsgID == "" {
		return
	}
	for len(d.idQueue) > 0 {
		first, ok := d.ids[d.idQueue[0]]
		if ok && now.Sub(first.at) < window {
			break
		}
		delete(d.ids, d.idQueue[0])
		d.idQueue = d.idQueue[1:]
	}
	d.ids[key] = sentID{msgid, now}
	d.idQueue = append(d.idQueue, key)
}

// sameContent reports whether the recipient got the same content within
// contentWindow. If not, it remembers the content.
func (d *dedupe) sameContent(m *wechat.TemplateMessage, now time.Time) bool {
	content := *m
	content.ClientMsgID = ""
	body, _ := wechat.MarshalBody(&content) // m was decoded from JSON
	sum := maphash.Bytes(d.hashSeed, body)
	if now.Sub(d.swept) > contentWindow {
		d.swept = now
		for sum, at := range d.content {
			if now.Sub(at) >= contentWindow {
				delete(d.content, sum)
			}
		}
	}
	if at, ok := d.content[sum]; ok && now.Sub(at) < contentWindow {
		return true
	}
	d.content[sum] = now
	return false
}
