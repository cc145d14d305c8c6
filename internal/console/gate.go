package console

import (
	"strings"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/ratelimit"
)

// maxPauseReason is in characters.
const maxPauseReason = 100

// actOnGate pauses or resumes an account or one of its classes.
func (c *Console) actOnGate(r *request) error {
	do, class := r.PostForm.Get("do"), job.Class(r.PostForm.Get("class"))
	if do != "pause" && do != "resume" {
		return wrong("The form is not one of this page.")
	}
	what := r.text("account %s", r.account.AppID)
	if class != "" {
		if _, err := job.ParseClass(string(class)); err != nil {
			return wrong("The form is not one of this page.")
		}
		what = r.text("class %s of account %s", string(class), r.account.AppID)
	}
	reason := cut(mask.Text(strings.TrimSpace(r.PostForm.Get("reason"))), maxPauseReason)
	if reason == "" {
		reason = "no reason given"
	}
	q := confirmation{Action: "/gate", Back: "/", Text: r.text("Send again: %s?", what), Button: r.text("Resume")}
	entry := change{action: do + "d", detail: strings.TrimSpace("sending " + string(class))}
	if do == "pause" {
		q.Text, q.Button, q.Bad = r.text("Stop sending: %s?", what), r.text("Pause"), true
		q.Details = []string{r.text("Messages that are being sent finish. The rest waits until sending is resumed. Messages whose not-after passes in that time expire.")}
		q.Ask = r.text("Reason, for your colleagues")
		entry.detail += ": " + reason
	}
	return c.ask(r, q, entry, func() error {
		if err := c.switchGate(r, do, class, reason); err != nil {
			return err
		}
		c.redirect(r, "/", nil, do+"d")
		return nil
	})
}

func (c *Console) switchGate(r *request, do string, class job.Class, reason string) error {
	switch {
	case class == "" && do == "pause":
		return r.account.Gate.Close(r.ctx(), ratelimit.Pause{Reason: ratelimit.ReasonManual, Detail: r.who.title() + ": " + reason})
	case class == "":
		return r.account.Gate.Open(r.ctx(), ratelimit.ReasonManual)
	case do == "pause":
		return c.queues.Pause(r.ctx(), r.account.AppID, class, r.who.title(), reason)
	default:
		return c.queues.Resume(r.ctx(), r.account.AppID, class)
	}
}

// cut shortens a text to n characters.
func cut(text string, n int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), n)])
}
