package producer

import (
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

// Attempt is one call of WeChat for a message. See Story.
type Attempt struct {
	N        int       `json:"n"`        // from 1
	At       time.Time `json:"at"`       // when its outcome was known
	Accepted bool      `json:"accepted"` // WeChat took the message
	// Errcode is WeChat's answer. 0: accepted, or there was no answer.
	Errcode wechat.Code `json:"errcode,omitempty"`
	RID     string      `json:"rid,omitempty"` // WeChat's id of the refused call, for rid/get
	// Reason is why another attempt or none followed, in the language asked for with In.
	Reason string `json:"reason,omitempty"`
	// Worker is host and process number of the worker. Empty: not known, as of the
	// attempt that WeChat accepted.
	Worker    string `json:"worker,omitempty"`
	LatencyMS int64  `json:"latency_ms,omitempty"` // of the call; 0: not known
}

// Story has Status.Story filled in.
func Story() View { return func(v *view) { v.story = true } }

func storyOf(r *ledger.Record, lang wechat.Lang) []Attempt {
	var out []Attempt
	for _, a := range r.Story() {
		reason, _ := (&ledger.Record{Reason: a.Reason}).Words(lang)
		out = append(out, Attempt{
			N: a.N, At: a.At, Accepted: a.Accepted, Errcode: a.Errcode, RID: a.RID,
			Reason: reason, Worker: a.Worker, LatencyMS: a.Latency.Milliseconds(),
		})
	}
	return out
}
