package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// linkRequest asks for an enrolment link.
type linkRequest struct {
	User      string            `json:"user"`
	Account   string            `json:"account"`
	Consent   bool              `json:"consent"`
	ReturnURL string            `json:"return_url"`
	ExpiresIn string            `json:"expires_in"` // a duration such as 24h
	Data      map[string]string `json:"data"`
	Confirm   *bool             `json:"confirm"`
}

type linkAnswer struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (s *server) postEnrollLink(c *call) error {
	return c.once(func(body []byte) error {
		var in linkRequest
		if err := decode(body, &in); err != nil {
			return err
		}
		a, err := c.account(in.Account)
		if err != nil {
			return err
		}
		if s.cfg.PublicURL == "" || s.cfg.EnrollKey.IsZero() {
			return problemf(http.StatusServiceUnavailable, codeNoEnrolment, "set WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY")
		}
		life := 24 * time.Hour
		if in.ExpiresIn != "" {
			if life, err = time.ParseDuration(in.ExpiresIn); err != nil || life <= 0 {
				return malformed(newFault("/expires_in", "value-form", "is not a duration such as 24h"))
			}
		}
		e := producer.Enrollment{
			PublicURL: s.cfg.PublicURL, Account: a.AppID, Key: s.cfg.EnrollKey, User: in.User, Life: life,
			UserInfo: in.Consent, ReturnTo: in.ReturnURL, WithoutConfirm: in.Confirm != nil && !*in.Confirm,
		}
		expires := time.Now().Add(life).UTC().Truncate(time.Second)
		var link string
		if len(in.Data) > 0 {
			link, err = a.Producer.HandOff(c.r.Context(), e, producer.HandOff{Data: in.Data})
		} else {
			link, err = producer.EnrollURL(e)
		}
		if err != nil {
			return malformed(newFault("", "link-refused", err.Error()))
		}
		return c.answer(http.StatusCreated, linkAnswer{link, expires})
	})
}

// userView is what is known of one of the business's users.
type userView struct {
	User     string        `json:"user"`
	Account  string        `json:"account"`
	Bindings []bindingView `json:"bindings"`
}

type bindingView struct {
	OpenID  string    `json:"openid"` // masked without the scope read:openid
	UnionID string    `json:"unionid,omitempty"`
	Follows *bool     `json:"follows,omitempty"` // absent: not known
	BoundAt time.Time `json:"bound_at"`
	How     string    `json:"how"`
}

func (s *server) getUser(c *call) error {
	a, err := c.account("")
	if err != nil {
		return err
	}
	user := c.r.PathValue("user")
	list, err := a.Roster.Of(c.r.Context(), user)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return problemf(http.StatusNotFound, codeNotFound, "the user has no binding: they have not enrolled, or were unbound")
	}
	view := userView{User: user, Account: a.AppID}
	for _, b := range list {
		view.Bindings = append(view.Bindings, c.binding(b))
	}
	return c.answer(http.StatusOK, view)
}

func (c *call) binding(b enroll.Binding) bindingView {
	v := bindingView{OpenID: b.OpenID, UnionID: b.UnionID, Follows: b.Follows, BoundAt: b.BoundAt, How: b.How}
	if !c.key.May(apikey.ReadOpenID) {
		v.OpenID, v.UnionID = wechat.MaskOpenID(v.OpenID), ""
	}
	return v
}

// postUser serves POST /v1/users/{user}:unbind. A pattern cannot end in a part of
// a segment.
func (s *server) postUser(c *call) error {
	user, ok := strings.CutSuffix(c.r.PathValue("verb"), ":unbind")
	if !ok {
		return problemf(http.StatusNotFound, codeNotFound, "there is no %s; see /docs", c.r.URL.Path)
	}
	a, err := c.account("")
	if err != nil {
		return err
	}
	n, err := a.Roster.By(c.actor()).Unbind(c.r.Context(), user, "")
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]int{"unbound": n})
}

func (s *server) deleteUser(c *call) error {
	a, err := c.account("")
	if err != nil {
		return err
	}
	found, err := a.Eraser.Erase(c.r.Context(), enroll.Person{User: c.r.PathValue("user")}, enroll.WhyAdmin)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]int{"bindings": found.Bindings, "messages": found.Messages})
}

// malformed is a request of which the listed parts are wrong.
func malformed(faults ...fault) *problem {
	return &problem{
		Status: http.StatusBadRequest, Code: codeMalformed, subject: strings.TrimPrefix(faults[0].Pointer, "/"), Faults: faults,
		Detail: strings.TrimSpace(strings.TrimPrefix(faults[0].Pointer, "/") + " " + faults[0].Detail),
	}
}

// decode reads a small request strictly. Every fault names the field.
func decode(body []byte, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.More() {
		return malformed(newFault("", "not-json", "has more than one JSON value"))
	}
	if err == nil {
		return nil
	}
	var kind *json.UnmarshalTypeError
	switch name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); {
	case unknown:
		return malformed(newFault("/"+strings.Trim(name, `"`), "field-unknown", "is not a field of this call; see /docs"))
	case errors.As(err, &kind):
		return malformed(newFault("/"+strings.ReplaceAll(kind.Field, ".", "/"), "field-type", "has the wrong type; see /docs"))
	default:
		return malformed(newFault("", "not-json", "the body is not a JSON object"))
	}
}
