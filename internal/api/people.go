package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/enroll"
	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/rawjson"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// linkRequest asks for an enrolment link.
type linkRequest struct {
	User      string             `json:"user"`
	Account   string             `json:"account"`
	Consent   bool               `json:"consent"`
	ReturnURL string             `json:"return_url"`
	ExpiresIn string             `json:"expires_in"` // a duration such as 24h
	Data      map[string]*string `json:"data"`
	Confirm   *bool              `json:"confirm"`
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
		err := c.ofAccount(in.Account)
		if err != nil {
			return err
		}
		if s.cfg.PublicURL == "" || s.cfg.EnrollKey.IsZero() {
			return problemf(http.StatusServiceUnavailable, codeNoEnrolment, "set WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY")
		}
		var faults []fault
		life := 24 * time.Hour
		if asked, err := time.ParseDuration(in.ExpiresIn); err == nil && asked > 0 {
			life = asked
		} else if in.ExpiresIn != "" {
			faults = append(faults, newFault("/expires_in", "value-form", "is not a duration such as 24h"))
		}
		e := producer.Enrollment{
			PublicURL: s.cfg.PublicURL, Account: c.account.AppID, Key: s.cfg.EnrollKey, User: in.User, Life: life,
			UserInfo: in.Consent, ReturnTo: in.ReturnURL, WithoutConfirm: in.Confirm != nil && !*in.Confirm,
		}
		if _, err := producer.EnrollURL(e); err != nil {
			refused, ok := linkFaults(err)
			if !ok {
				return err
			}
			faults = append(faults, refused...)
		} else if e.ReturnTo != "" && len(s.cfg.ReturnURLs) > 0 && !slices.Contains(s.cfg.ReturnURLs, e.ReturnTo) {
			faults = append(faults, newFault("/return_url", "value-form", "is not one of WXNOTIFY_RETURN_URLS: the link would be refused when it is opened"))
		}
		if len(faults) > 0 {
			return malformed(faults...)
		}
		expires := time.Now().Add(life).UTC().Truncate(time.Second)
		link, err := c.link(e, in.Data)
		if refused, ok := linkFaults(err); ok {
			return malformed(refused...)
		} else if err != nil {
			return err
		}
		return c.answer(http.StatusCreated, linkAnswer{link, expires})
	})
}

// link makes a link, a hand-off when there are data.
func (c *call) link(e producer.Enrollment, values map[string]*string) (string, error) {
	if len(values) == 0 {
		return producer.EnrollURL(e)
	}
	data := map[string]string{}
	for name, value := range values {
		if value == nil {
			return "", malformed(newFault("/data"+pointer(name), "field-type", "is null: write its value, or leave the field out"))
		}
		data[name] = *value
	}
	return c.account.Producer.HandOff(c.r.Context(), e, producer.HandOff{Data: data})
}

// linkFaults names the fields of the request that the producer refuses. What the caller
// did not write, such as a setting or Redis, is another kind of problem: ok is false.
func linkFaults(err error) (faults []fault, ok bool) {
	for _, one := range leaves(err) {
		var refused *producer.EnrollmentError
		if !errors.As(one, &refused) {
			return nil, false
		}
		field, ofCaller := map[string]string{
			"Enrollment.User": "user", "Enrollment.Life": "expires_in", "Enrollment.ReturnTo": "return_url", "HandOff.Data": "data",
		}[refused.Field]
		if !ofCaller {
			return nil, false
		}
		faults = append(faults, newFault(pointer(field), "value-form", refused.Detail))
	}
	return faults, true
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

// checkUser refuses what can be no user, such as a name in another encoding: that nothing
// was found, or erased, would be taken for an answer about a person.
func checkUser(user string) error {
	var invalid *wechat.InvalidError
	if errors.As(producer.CheckUser(user), &invalid) {
		return malformed(faultOf("", invalid.Faults[0]))
	}
	return nil
}

func (s *server) getUser(c *call) error {
	user := c.r.PathValue("user")
	if err := checkUser(user); err != nil {
		return err
	}
	list, err := c.account.Roster.Of(c.r.Context(), user)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return problemf(http.StatusNotFound, codeNotFound, "the user has no binding: they have not enrolled, or were unbound")
	}
	view := userView{User: user, Account: c.account.AppID}
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
	if err := checkUser(user); err != nil {
		return err
	}
	n, err := c.account.Roster.By(c.actor()).Unbind(c.r.Context(), user, "")
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]int{"unbound": n})
}

func (s *server) deleteUser(c *call) error {
	user := c.r.PathValue("user")
	if err := checkUser(user); err != nil {
		return err
	}
	found, err := c.account.Roster.Erase(c.r.Context(), enroll.Person{User: user})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]int{"bindings": found.Bindings, "messages": found.Messages})
}

// leaves are the errors that errors.Join joined, at any depth; err itself when it is one.
func leaves(err error) (out []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, one := range joined.Unwrap() {
		out = append(out, leaves(one)...)
	}
	return out
}

// malformed is a request of which the listed parts are wrong.
func malformed(faults ...fault) *problem {
	subject := strings.TrimPrefix(faults[0].Pointer, "/")
	return &problem{
		Status: http.StatusBadRequest, Code: codeMalformed, subject: subject, Faults: faults,
		Detail: strings.TrimSpace(subject + " " + faults[0].Detail),
	}
}

// decode reads a small request strictly into a struct: nothing is dropped, repaired or
// taken under a name in other capitals. All faults are named, with their fields.
func decode(body []byte, into any) error {
	var faults []fault
	var invalid *wechat.InvalidError
	if errors.As(wechat.CheckJSON(body), &invalid) {
		for _, f := range invalid.Faults {
			faults = append(faults, faultOf("", f))
		}
		p := malformed(faults...)
		if faults[0].Pointer == "" {
			p.subject, p.Detail = theBody, theBody+" "+faults[0].Detail
		}
		return p
	}
	members, _ := rawjson.Object(bytes.TrimPrefix(body, []byte("\ufeff")))
	if members == nil {
		return malformed(newFault("", "not-json", "the body is not a JSON object; see /docs"))
	}
	for _, m := range members {
		if v := fieldOf(into, m.Name); !v.IsValid() {
			faults = append(faults, newFault(pointer(m.Name), "field-unknown", "is not a field of this call; see /docs"))
		} else if json.Unmarshal(m.Value, v.Addr().Interface()) != nil {
			faults = append(faults, newFault(pointer(m.Name), "field-type", "has the wrong type; see /docs"))
		}
	}
	if len(faults) > 0 {
		return malformed(faults...)
	}
	return nil
}

// pointer is the JSON pointer to a field of this name.
func pointer(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// fieldOf is the field of a struct that has this name in JSON. It is invalid where there
// is none.
func fieldOf(of any, name string) reflect.Value {
	for field, v := range reflect.ValueOf(of).Elem().Fields() {
		if field.Tag.Get("json") == name {
			return v
		}
	}
	return reflect.Value{}
}
