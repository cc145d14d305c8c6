package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/rawjson"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// Request is one message as a caller handed it in.
type Request struct {
	// Message has the ID, which is empty when none was given, WeChat's message
	// without a client_msg_id, and the terms.
	producer.Message
	// Account is the appid, or empty when none was given.
	Account string
	// Bare says that WeChat's body was given, without our form around it.
	Bare bool
}

// The fields of our own form.
const (
	fieldID          = "id"
	fieldAccount     = "account"
	fieldClass       = "class"
	fieldUser        = "user"
	fieldNotBefore   = "not_before"
	fieldNotAfter    = "not_after"
	fieldAtLeastOnce = "at_least_once"
	fieldMessage     = "message"
)

func fields() []string {
	return []string{fieldID, fieldAccount, fieldClass, fieldUser, fieldNotBefore, fieldNotAfter, fieldAtLeastOnce, fieldMessage}
}

// Parse reads one message in either form. With an error the Request has what could
// be read, such as the ID, for a report. The error is a *wechat.InvalidError with
// all faults of names, types and texts, whose paths begin at the document's root:
// "message.data.thing1.value" in our form, "data.thing1.value" in WeChat's. It does
// not check values: Producer.Check does, and Faults brings its paths into the same
// form.
//
// A client_msg_id of the message is its ID when no id is given; when both are
// given they must agree, since the client_msg_id is made from the ID.
func Parse(data []byte) (Request, error) {
	object, err := objectOf(data)
	if err != nil {
		return Request{}, err
	}
	return parse(data, object)
}

// objectOf returns the fields of a document, or the fault of one that is no object.
func objectOf(data []byte) ([]rawjson.Member, error) {
	if text := trimmed(data); json.Valid(text) {
		if object, _ := rawjson.Object(text); object != nil {
			return object, nil
		}
	}
	return nil, notObject(data)
}

func notObject(data []byte) error {
	p := parser{}
	if p.take("", wechat.CheckJSON(data)); len(p.faults) == 0 {
		p.fault("", wechat.FaultJSON, `is not a JSON object: write {"id":…,"message":{…}}, or WeChat's body {"touser":…,"template_id":…,"data":{…}}`)
	}
	return p.err()
}

// parse reads a message of these fields. Data is JSON that is valid.
func parse(data []byte, object []rawjson.Member) (Request, error) {
	if object == nil {
		return Request{}, notObject(data)
	}
	p := parser{}
	var request Request
	if isBody(object) {
		request.Bare = true
		request.Message.Message = p.body("", data)
		p.own(object)
	} else {
		p.damage(data, object)
		p.envelope(object, &request)
	}
	if m := request.Message.Message; m != nil {
		p.clientMsgID(&request, m)
	}
	return request, p.err()
}

// trimmed is data without blanks and a byte order mark around it.
func trimmed(data []byte) []byte {
	return bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xEF\xBB\xBF"))
}

// isBody tells WeChat's body from our own form.
func isBody(object []rawjson.Member) bool {
	return !rawjson.Has(object, fieldMessage) &&
		(!rawjson.Has(object, fields()...) || rawjson.Has(object, "touser", "template_id", "data"))
}

// parser collects faults.
type parser struct{ faults []wechat.Fault }

// faultsLimit bounds the faults of one document, as that of CheckJSON: it may have as many
// as it has fields, and each is compared with the others.
const faultsLimit = 1000

func (p *parser) full() bool { return len(p.faults) >= faultsLimit }

func (p *parser) err() error {
	if len(p.faults) == 0 {
		return nil
	}
	return &wechat.InvalidError{Faults: p.faults}
}

func (p *parser) fault(path string, code wechat.FaultCode, message string) {
	p.faults = append(p.faults, wechat.Fault{Path: path, Code: code, Message: message})
}

// take adds the faults of err that are not known yet, with their paths below root.
func (p *parser) take(root string, err error) {
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) {
		return
	}
	for _, f := range invalid.Faults {
		f.Path = below(root, f.Path)
		if !p.full() && !slices.ContainsFunc(p.faults, func(known wechat.Fault) bool { return known.Path == f.Path && known.Code == f.Code }) {
			p.faults = append(p.faults, f)
		}
	}
}

func below(root, path string) string {
	switch {
	case root == "":
		return path
	case path == "" || strings.HasPrefix(path, "["):
		return root + path
	default:
		return root + "." + path
	}
}

// body reads WeChat's message. It returns nil when it has faults.
func (p *parser) body(root string, data []byte) *wechat.TemplateMessage {
	m, err := wechat.ParseTemplateMessage(data)
	p.take(root, err)
	return m
}

// own explains fields of our form that stand beside those of WeChat's.
func (p *parser) own(object []rawjson.Member) {
	for i, f := range p.faults {
		if f.Code == wechat.FaultFieldUnknown && f.Path == fieldMessages {
			p.faults[i].Message = "is a batch of the HTTP API: write its messages as an array, [{…},{…}], or one a line"
		}
		if f.Code == wechat.FaultFieldUnknown && slices.Contains(fields(), f.Path) && rawjson.Has(object, f.Path) {
			p.faults[i].Message = `stands beside the fields of WeChat's message: put those under "message"`
		}
	}
}

// damage takes the faults that CheckJSON finds. Body has those of the message: it
// is not checked twice unless a name is.
func (p *parser) damage(data []byte, object []rawjson.Member) {
	for i, field := range object {
		if i > 0 && field.Name == object[i-1].Name || strings.ContainsRune(field.Name, utf8.RuneError) {
			p.take("", wechat.CheckJSON(data))
			return
		}
		if field.Name == fieldMessage {
			continue
		}
		if p.full() {
			return
		}
		if err := wechat.CheckJSON(field.Value); err != nil {
			p.take(wechat.FieldPath(field.Name), err)
		}
	}
}

func (p *parser) envelope(object []rawjson.Member, r *Request) {
	for _, field := range object {
		if p.full() {
			return
		}
		name, value := field.Name, field.Value
		if string(value) == "null" && slices.Contains(fields(), name) {
			continue // not given
		}
		switch name {
		case fieldID:
			if p.text(name, value, &r.ID); string(value) == `""` {
				p.faults = append(p.faults, wechat.NewFault(name, fault.IDMissing,
					"is empty: give the message an id of your own, or leave the field out", "为空：请给消息一个 ID，或去掉该字段"))
			}
		case fieldAccount:
			p.text(name, value, &r.Account)
		case fieldClass:
			p.text(name, value, (*string)(&r.Terms.Class))
		case fieldUser:
			p.text(name, value, &r.Terms.User)
		case fieldNotBefore:
			p.time(name, value, &r.Terms.NotBefore)
		case fieldNotAfter:
			p.time(name, value, &r.Terms.NotAfter)
		case fieldAtLeastOnce:
			if err := json.Unmarshal(value, &r.Terms.AtLeastOnce); err != nil {
				p.fault(name, wechat.FaultFieldType, "is not true or false: write it without quotes")
			}
		case fieldMessage:
			r.Message.Message = p.body(fieldMessage, value)
		default:
			p.unknown(name)
		}
	}
	if given := slices.ContainsFunc(object, func(f rawjson.Member) bool { return f.Name == fieldMessage && string(f.Value) != "null" }); !given {
		p.fault(fieldMessage, wechat.FaultMessageMissing, `is missing: give {"touser":…,"template_id":…,"data":{…}}`)
	}
}

func (p *parser) text(name string, value json.RawMessage, into *string) {
	if !rawjson.Text(value, into) {
		p.fault(name, wechat.FaultFieldType, "is not text: put it in quotes")
	}
}

func (p *parser) time(name string, value json.RawMessage, into *time.Time) {
	var text string
	err := json.Unmarshal(value, &text)
	if err == nil {
		*into, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		p.fault(name, wechat.FaultFieldType, "is not a time: write it as text with the offset from UTC, such as 2026-11-22T09:00:00+08:00")
	}
}

// unknown names the field that is meant, when there is one.
func (p *parser) unknown(name string) {
	replacer := strings.NewReplacer("_", "", "-", "")
	plain := func(s string) string { return strings.ToLower(replacer.Replace(s)) }
	message := "is not a field: there are " + strings.Join(fields(), ", ")
	for _, known := range fields() {
		if plain(known) == plain(name) {
			message = "is not a field: write " + known
		}
	}
	if slices.Contains([]string{"touser", "template_id", "url", "miniprogram", "data", "client_msg_id"}, name) {
		message = `is a field of WeChat's message: put it under "message"`
	}
	p.fault(wechat.FieldPath(name), wechat.FaultFieldUnknown, message)
}

// clientMsgID takes the client_msg_id out of the message.
func (p *parser) clientMsgID(r *Request, m *wechat.TemplateMessage) {
	given := m.ClientMsgID
	m.ClientMsgID = ""
	switch {
	case given == "":
	case r.ID == "":
		r.ID = given
	case given != r.ID && given != job.ClientMsgID(r.ID):
		p.fault(below(fieldMessage, "client_msg_id"), wechat.FaultClientMsgID, "differs from the id, from which it is made: leave it out")
	}
}

// Faults are the faults of an error of Producer.Check or Enqueue, with the paths
// that the fields have in the document, as those of Parse: in our own form the
// fields of WeChat's message are below "message". It returns nil for another error.
func (r *Request) Faults(err error) []wechat.Fault {
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) {
		return nil
	}
	if r.Bare {
		return invalid.Faults
	}
	faults := slices.Clone(invalid.Faults)
	for i, f := range faults {
		root, _, _ := strings.Cut(f.Path, ".")
		if !slices.Contains(fields(), root) {
			faults[i].Path = below(fieldMessage, f.Path)
		}
	}
	return faults
}

// Warnings are those of the message, with paths as those of Faults. A simulated recipient is
// no openid and has none's form.
func (r *Request) Warnings() []wechat.Fault {
	m := r.Message.Message
	list := slices.DeleteFunc(m.Warnings(), func(w wechat.Fault) bool { return w.Code == wechat.WarnOpenID && job.Simulated(m.ToUser) })
	return r.Faults(&wechat.InvalidError{Faults: list})
}

// Result is one message of a batch: a Request, or the error of Parse.
type Result struct {
	Request Request
	Err     error
}

// ParseBody reads the body of a call: one message, as Parse does, or a batch,
// {"messages":[…]} with 1 to limit messages in our own form or WeChat's. The error is
// of the one message, or of the document around those of a batch; the faults of a
// message of a batch are in its Result, with paths that begin at the message.
func ParseBody(data []byte, limit int) (results []Result, batch bool, err error) {
	object, err := objectOf(data)
	switch {
	case err != nil:
		return []Result{{Err: err}}, false, err
	case !isBatch(object):
		request, err := parse(data, object)
		return []Result{{request, err}}, false, err
	}
	results, err = parseBatch(object, limit)
	return results, true, err
}

const fieldMessages = "messages"

// isBatch is also true for another case of letters, so that the fault names the field.
func isBatch(object []rawjson.Member) bool {
	return slices.ContainsFunc(object, func(f rawjson.Member) bool { return strings.EqualFold(f.Name, fieldMessages) })
}

func parseBatch(object []rawjson.Member, limit int) ([]Result, error) {
	p := parser{}
	var items []json.RawMessage
	given, isArray := 0, false
	for _, field := range object {
		if p.full() {
			break
		}
		if field.Name != fieldMessages {
			p.fault(wechat.FieldPath(field.Name), wechat.FaultFieldUnknown, "is not a field of a batch: there is messages")
			continue
		}
		given++
		items, isArray = rawjson.Array(field.Value)
	}
	if given > 1 {
		p.fault(fieldMessages, wechat.FaultFieldTwice, "is given twice: give it once")
	}
	switch {
	case !isArray:
		p.fault(fieldMessages, wechat.FaultFieldType, "is not an array of messages")
	case len(items) == 0:
		p.fault(fieldMessages, wechat.FaultMessageMissing, "is empty: give 1 message or more")
	case len(items) > limit:
		p.fault(fieldMessages, wechat.FaultBodyTooLarge, fmt.Sprintf("has %d messages, and %d are allowed: split the batch", len(items), limit))
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	results := make([]Result, len(items))
	for i, item := range items {
		object, _ := rawjson.Object(item)
		results[i].Request, results[i].Err = parse(item, object)
	}
	return results, nil
}
