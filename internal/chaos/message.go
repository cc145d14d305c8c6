package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// manner is how a message comes to the queue.
type manner int

const (
	plain      manner = iota
	scheduled         // a few seconds ahead
	later             // beyond the run
	expiring          // too late after a few seconds
	dropped           // scheduled beyond the run, then cancelled
	contested         // cancelled right after it was enqueued
	repeated          // the same ID and body by several callers at once
	conflicted        // the same ID with different bodies by several callers at once
	abandoned         // its caller does not repeat after an error
)

// mix is the shares of the manners, in thousandths; plain takes the rest.
func mix() []struct {
	manner manner
	share  int
} {
	return []struct {
		manner manner
		share  int
	}{
		{scheduled, 60}, {later, 15}, {expiring, 40}, {dropped, 20}, {contested, 25}, {repeated, 60}, {conflicted, 30}, {abandoned, 20},
	}
}

// errand is one message to enqueue.
type errand struct {
	n      int
	id     string
	class  producer.ClassName
	manner manner
	wait   time.Duration // of scheduled and expiring
}

// errands makes n messages out of the seed.
func errands(seed uint64, n int) []errand {
	dice := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // the messages are to be repeatable
	list := make([]errand, n)
	for i := range list {
		e := errand{n: i, id: fmt.Sprintf("m%d-%05d", seed%100000, i)}
		if i%7 == 0 {
			e.id = "order/" + e.id + "/with-a-long-name/that-is-hashed" // no client_msg_id as it is
		}
		switch c := dice.IntN(10); {
		case c < 2:
			e.class = producer.Critical
		case c < 7:
			e.class = producer.Default
		default:
			e.class = producer.Bulk
		}
		roll := dice.IntN(1000)
		for _, m := range mix() {
			if roll < m.share {
				e.manner = m.manner
				break
			}
			roll -= m.share
		}
		e.wait = time.Duration(2000+dice.IntN(6000)) * time.Millisecond
		list[i] = e
	}
	return list
}

// body of the message, in one of several forms that the URL names.
func (e errand) body(form string) *wechat.TemplateMessage {
	return &wechat.TemplateMessage{
		ToUser: fmt.Sprintf("oChaos%022d", e.n), TemplateID: "chaos-template-0000000000000000000000000000",
		URL:  "https://chaos.example/" + form,
		Data: map[string]wechat.Field{"thing1": {Value: "咖啡 & <" + form + ">"}, "number2": {Value: strconv.Itoa(e.n)}},
	}
}

func bodyOf(url string) string { return strings.TrimPrefix(url, "https://chaos.example/") }

// options of the message at the moment of its first Enqueue.
func (e errand) options(now time.Time) (opts []producer.Option, notAfter time.Time) {
	opts = append(opts, producer.Class(e.class))
	switch e.manner {
	case scheduled:
		opts = append(opts, producer.NotBefore(now.Add(e.wait)))
	case later, dropped:
		opts = append(opts, producer.NotBefore(now.Add(6*time.Hour)))
	case expiring:
		notAfter = now.Add(e.wait)
		opts = append(opts, producer.NotAfter(notAfter))
	case plain, contested, repeated, conflicted, abandoned:
	}
	return opts, notAfter
}
