package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// serveSend queues a template message and answers as WeChat does.
func (q *request) serveSend() error {
	if q.r.Method != http.MethodPost {
		return refuse(43002, "require POST method")
	}
	if err := q.authorize(); err != nil {
		return err
	}
	if !q.key.May(apikey.Send) {
		return refuse(wechat.CodeUnauthorized, "api unauthorized: the API key has not the scope send")
	}
	body, err := q.body()
	if err != nil {
		return err
	}
	in, err := parseSend(body)
	if err != nil {
		return refuse(47001, "data format error: "+faultsText(err))
	}
	if !in.Bare {
		return refuse(47001, "data format error: send WeChat's own body, with touser, template_id and data")
	}
	m := in.Message
	if m.ID == "" {
		m.ID = "gw-" + strings.ToLower(rand.Text())
	}
	m.Terms.Class, m.Terms.Test, m.Terms.Key = q.key.Class, q.key.Kind == apikey.Test, q.key.ID
	if to := m.Message.ToUser; !q.key.MayReach(to) && !job.Simulated(to) {
		return refuse(wechat.CodeNotFollower, "require subscribe: the recipient is not in the key's guest list")
	}
	if err := q.up.Producer.Check(m); err != nil {
		return refuse(codeOf(err), faultsText(err))
	}
	booked, err := q.g.keys.Book(q.r.Context(), q.key, 1, q.up.Gate)
	var share *apikey.ShareError
	if errors.As(err, &share) {
		return refuse(wechat.CodeQuota, "reach max api daily quota limit: "+share.Error())
	}
	if err != nil {
		return err
	}
	ticket, err := q.up.Producer.Enqueue(q.r.Context(), m.ID, m.Message, func(t *producer.Terms) { *t = m.Terms })
	var reused *producer.IDReusedError
	reuse := errors.As(err, &reused)
	if ticket.Duplicate || reuse || errors.Is(err, producer.ErrRedisFull) {
		if err := booked.Refund(q.r.Context(), 1); err != nil {
			q.g.log.Warn("a key's count of the day is too high", zap.String("key", q.key.ID), zap.NamedError("cause", err))
		}
	}
	switch {
	case reuse:
		return refuse(wechat.CodeDuplicate, "the client_msg_id was used for another message")
	case err != nil:
		return err
	}
	q.answer(map[string]any{"errcode": 0, "errmsg": "ok", "msgid": MsgID(q.key.Account, ticket.ID)})
	return nil
}

// parseSend reads WeChat's own body. co-wechat-api and others send a color at its top,
// which WeChat ignores: it is dropped, when it is the only fault. Other unknown fields
// are faults, since they are misspelled ones mostly.
func parseSend(body []byte) (intake.Request, error) {
	in, err := intake.Parse(body)
	var invalid *wechat.InvalidError
	var fields map[string]json.RawMessage
	if !errors.As(err, &invalid) || len(invalid.Faults) != 1 || invalid.Faults[0].Pointer() != "/color" || json.Unmarshal(body, &fields) != nil {
		return in, err
	}
	delete(fields, "color")
	if body, err = json.Marshal(fields); err != nil {
		return in, fmt.Errorf("drop the color: %w", err)
	}
	return intake.Parse(body)
}

// MsgID is the msgid that the gateway answers for a message: made of the account
// and the message's ID, so that its receipt can carry it. It has 52 bits, since
// programs in JavaScript lose those beyond 53.
func MsgID(account, id string) wechat.MessageID {
	sum := sha256.Sum256([]byte(account + "\n" + id))
	return wechat.MessageID(binary.BigEndian.Uint64(sum[:8])>>12 | 1)
}

// codeOf is the errcode that WeChat would have answered to the first fault.
func codeOf(err error) wechat.Code {
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Faults) == 0 {
		return wechat.CodeBusy
	}
	switch invalid.Faults[0].Code {
	case wechat.FaultOpenIDMissing, wechat.FaultOpenIDInvalid, wechat.FaultOpenIDSeveral:
		return wechat.CodeInvalidOpenID
	case wechat.FaultTemplateMissing, wechat.FaultTemplateInvalid, fault.TemplateUnknown:
		return wechat.CodeInvalidTemplate
	case wechat.FaultURLInvalid:
		return 40048
	case wechat.FaultMiniProgramAppID, wechat.FaultMiniProgramInvalid:
		return 40165
	}
	return wechat.CodeInvalidArgument
}

// faultsText is what WeChat's errmsg says of all faults, with the names of WeChat's body.
func faultsText(err error) string {
	var invalid *wechat.InvalidError
	if !errors.As(err, &invalid) {
		return "the message cannot be read"
	}
	parts := make([]string, len(invalid.Faults))
	for i, f := range invalid.Faults {
		if f.Path == "id" {
			f.Path = "client_msg_id"
		}
		parts[i] = f.String()
	}
	return "argument invalid! " + strings.Join(parts, "; ")
}
