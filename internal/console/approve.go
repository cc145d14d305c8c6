package console

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// approvalLife is how long a request waits for its second person.
	approvalLife = time.Hour
	// maxApprovals bounds the requests that wait.
	maxApprovals = 50
)

// approval is a change that waits for the confirmation of a second person.
type approval struct {
	id      string // random: a page of another process, or of before a reload, names none of ours
	account *Account
	by      Operator
	role    Role                    // that the second person must have
	text    func(r *request) string // what will be done
	detail  func(r *request) string
	entry   change
	asked   time.Time
	// do makes the change and answers the second person's request.
	do func(r *request) error
}

// approvals are the requests that wait in this process. They are lost when it stops:
// nothing was changed.
type approvals struct {
	mu  sync.Mutex
	all []*approval
}

// live returns those that have not expired, the oldest first.
func (s *approvals) live() []*approval {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(a *approval) bool { return time.Since(a.asked) > approvalLife })
	return slices.Clone(s.all)
}

// add takes a request in, and gives it an ID unless it has one. It returns false when too many wait.
func (s *approvals) add(a *approval) bool {
	waiting := s.live()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(waiting) >= maxApprovals {
		return false
	}
	if a.id == "" {
		a.id = rand.Text()
	}
	s.all = append(s.all, a)
	return true
}

// take removes a request, so that it is answered once.
func (s *approvals) take(a *approval) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.all)
	s.all = slices.DeleteFunc(s.all, func(o *approval) bool { return o == a })
	return len(s.all) < before
}

// askSecond has a change wait for a second person.
func (c *Console) askSecond(r *request, a *approval) error {
	a.account, a.by, a.asked = r.account, r.who, time.Now()
	asked := a.entry
	asked.action = "asked: " + asked.action
	if err := c.note(r.ctx(), r.account, r.who, asked); err != nil {
		return err
	}
	if !c.approvals.add(a) {
		return &faultError{status: http.StatusConflict, text: "Too many requests wait for a second person: have some of them answered first."}
	}
	c.redirect(r, "/approvals", nil, "asked")
	return nil
}

// approvalView is a waiting request on its page.
type approvalView struct {
	ID               string
	Account          string
	What, By         string
	Asked, Until     time.Time
	Mine, MayApprove bool
}

func (c *Console) listApprovals(r *request) error {
	var rows []approvalView
	for _, a := range c.approvals.live() {
		mine := a.by.is(r.who)
		rows = append(rows, approvalView{
			ID: a.id, Account: a.account.AppID, What: a.text(r), By: a.by.Name, Asked: a.asked, Until: a.asked.Add(approvalLife),
			Mine: mine, MayApprove: !mine && r.who.Role >= a.role,
		})
	}
	return c.render(r, http.StatusOK, "approvals", r.text("Second person"), rows)
}

// answerApproval confirms or refuses a request. Who asked may withdraw it.
func (c *Console) answerApproval(r *request) error {
	id := r.PostForm.Get("id")
	waiting := c.approvals.live()
	i := slices.IndexFunc(waiting, func(a *approval) bool { return a.id == id })
	if i < 0 {
		return errNotWaiting()
	}
	a, do := waiting[i], r.PostForm.Get("do")
	mine := a.by.is(r.who)
	switch {
	case do != "approve" && do != "refuse":
		return wrong("The form is not one of this page.")
	case r.who.Role < a.role && !mine:
		return &faultError{status: http.StatusForbidden, text: "Your role does not permit this."}
	case do == "approve" && mine:
		return &faultError{status: http.StatusForbidden, text: "You asked for this: another person must confirm it."}
	}
	r.account = a.account
	if do == "approve" && !r.confirmed() {
		q := confirmation{
			Text: a.text(r), Details: []string{a.detail(r), r.text("%s asked for it at %s.", a.by.Name, moment(a.asked))}, Button: r.text("Confirm"), Bad: true,
			Action: "/approvals", Back: "/approvals?account=" + r.account.AppID,
		}
		return c.confirm(r, q)
	}
	if !c.approvals.take(a) {
		return errNotWaiting()
	}
	entry := a.entry
	entry.action = map[string]string{"approve": "confirmed: ", "refuse": "refused: "}[do] + entry.action
	entry.detail = "asked for by " + a.by.title() + "; " + entry.detail
	if err := c.note(r.ctx(), a.account, r.who, entry); err != nil {
		c.approvals.add(a)
		return err
	}
	if do == "refuse" {
		c.redirect(r, "/approvals", nil, "refused")
		return nil
	}
	return a.do(r)
}

func errNotWaiting() error {
	return &faultError{status: http.StatusConflict, text: "This request does not wait any more: it was answered or has expired."}
}
