package wechattest

import (
	"hash/maphash"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// dedupe remembers what was sent a moment ago.
type dedupe struct {
	ids      map[idKey]sentID
	idQueue  []idKey
	content  map[uint64]time.Time
	hashSeed maphash.Seed
	swept    time.Time
}

type idKey struct{ openid, clientMsgID string }

type sentID struct {
	msgid wechat.MessageID
	at    time.Time
}

// contentWindow is WeChat's "duplicate in 60 seconds".
const contentWindow = time.Minute

func newDedupe() dedupe {
	return dedupe{ids: map[idKey]sentID{}, content: map[uint64]time.Time{}, hashSeed: maphash.MakeSeed()}
}

// byID returns the message sent with this key inside the window.
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

// sameContent reports whether the recipient got the same content within a
// minute, and remembers it otherwise.
func (d *dedupe) sameContent(m *message, now time.Time) bool {
	var h maphash.Hash
	h.SetSeed(d.hashSeed)
	for _, s := range []string{m.toUser, m.templateID, m.url, m.miniAppID, m.miniPath} {
		h.WriteString(s)
		h.WriteByte(0)
	}
	sum := h.Sum64()
	for _, f := range m.fields { // in any order
		sum += maphash.String(d.hashSeed, f.key+"\x00"+f.value)
	}
	if now.Sub(d.swept) > contentWindow {
		d.swept = now
		for key, at := range d.content {
			if now.Sub(at) >= contentWindow {
				delete(d.content, key)
			}
		}
	}
	if at, ok := d.content[sum]; ok && now.Sub(at) < contentWindow {
		return true
	}
	d.content[sum] = now
	return false
}
