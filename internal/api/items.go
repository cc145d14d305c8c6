package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/wechat"
)

// item is one message of a call on its way to its result.
type item struct {
	intake.Request
	base    string   // JSON pointer to the message in the body
	problem *problem // nil: it is not refused so far
}

// refused makes a problem of what the producer found, with pointers that begin at the
// body's root.
func (it *item) refused(err error) *problem {
	p := problemOf(err)
	var invalid *wechat.InvalidError
	if errors.As(err, &invalid) {
		p = refusal(it.Faults(err), it.base)
	}
	return p
}

// misread makes a problem of what intake found, whose paths begin at the message: it lies
// at the JSON pointer base.
func misread(err error, base string) *problem {
	var invalid *wechat.InvalidError
	if errors.As(err, &invalid) {
		return refusal(invalid.Faults, base)
	}
	return problemOf(err)
}

// refusal lists the faults of a message that lies at the JSON pointer base.
func refusal(faults []wechat.Fault, base string) *problem {
	p := problemf(http.StatusUnprocessableEntity, codeRefused, "%d faults", len(faults))
	if len(faults) == 1 {
		p = problemf(http.StatusUnprocessableEntity, codeRefused, "1 fault")
	}
	for _, f := range faults {
		p.Faults = append(p.Faults, faultOf(base, f))
	}
	return p
}

// readItems reads one message, or the list {"messages":[…]}.
func readItems(body []byte) (items []item, many bool, err error) {
	results, many, err := intake.ParseBody(body, MaxMessages)
	if err != nil {
		return nil, many, bodyProblem(misread(err, ""))
	}
	for i, r := range results {
		it := item{Request: r.Request}
		if many {
			it.base = "/messages/" + strconv.Itoa(i)
		}
		if r.Err != nil {
			it.problem = misread(r.Err, it.base)
		}
		items = append(items, it)
	}
	return items, many, nil
}

// theBody is the subject of a fault of the whole body.
const theBody = "the body"

// bodyProblem answers 400 where the body is no JSON of a message at all.
func bodyProblem(p *problem) *problem {
	for _, f := range p.Faults {
		if f.Code == string(wechat.FaultJSON) && f.Pointer == "" {
			return &problem{
				Status: http.StatusBadRequest, Code: codeMalformed, subject: theBody, Detail: theBody + " " + f.Detail, Faults: []fault{f},
			}
		}
	}
	return p
}

// validation is the answer of messages:validate.
type validation struct {
	Faults   []fault        `json:"faults"`
	Warnings []fault        `json:"warnings"`
	Preview  wechat.Preview `json:"preview"`
}

func (s *server) validateMessage(c *call) error {
	body, err := c.read()
	if err != nil {
		return err
	}
	view := validation{Faults: []fault{}, Warnings: []fault{}, Preview: wechat.Preview{Lines: []wechat.PreviewLine{}}}
	it := item{}
	if it.Request, err = intake.Parse(body); err != nil {
		view.Faults = misread(err, "").Faults
		translate(view.Faults, c.lang())
		return c.answer(http.StatusOK, view)
	}
	c.admit(&it, 0)
	if it.problem != nil {
		return it.problem
	}
	if err := c.account.Producer.Check(it.Message); err != nil {
		p := it.refused(err)
		if p.Code != codeRefused {
			return fmt.Errorf("check: %w", err)
		}
		view.Faults = p.Faults
	}
	for _, w := range it.Warnings() {
		view.Warnings = append(view.Warnings, faultOf("", w))
	}
	translate(view.Faults, c.lang())
	translate(view.Warnings, c.lang())
	view.Preview = it.Message.Message.Preview("")
	return c.answer(http.StatusOK, view)
}
