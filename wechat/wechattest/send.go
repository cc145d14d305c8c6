package wechattest

import (
	"regexp"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
)

// firstMessageID is above 2^53, and above the msgids of platforms made earlier.
func firstMessageID() wechat.MessageID {
	return wechat.MessageID(time.Now().UnixMilli() << 20)
}

// serveSend is POST /cgi-bin/message/template/send (docs: 发送模板消息).
func serveSend(c *call) answer {
	m, code := c.message()
	if code != 0 {
		return refuse(code)
	}
	if code := checkShape(m); code != 0 {
		return refuse(code)
	}
	defer c.p.locked()()
	if code, text := c.account.checkMessage(m); code != 0 {
		return answer{code: code, text: text}
	}
	return c.deliver(m)
}

// checkShape makes the checks that do not depend on the account.
func checkShape(m *wechat.TemplateMessage) wechat.Code {
	switch {
	case !validOpenID(m.ToUser): // WeChat checks it before the template
		return 40003
	case m.TemplateID == "" || len(m.TemplateID) > 64:
		return 40036
	case len(m.URL) > 2048:
		return 40039
	case m.MiniProgram != nil && m.MiniProgram.AppID == "" && m.MiniProgram.PagePath != "":
		return 40166
	case m.Data == nil:
		return 47001
	}
	return 0
}

var openidPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func validOpenID(s string) bool { return openidPattern.MatchString(s) }

// checkMessage makes the checks that depend on the account. The lock is held.
func (a *Account) checkMessage(m *wechat.TemplateMessage) (wechat.Code, string) {
	if !a.owns(m.ToUser) {
		return 40003, ""
	}
	t := a.template(m.TemplateID)
	switch {
	case t == nil && !a.p.cfg.AnyTemplate:
		return 40037, ""
	case t != nil && t.Banned:
		return 43116, ""
	case t != nil:
		if code, text := t.checkFields(m); code != 0 {
			return code, text
		}
	}
	if !a.follows(m.ToUser) {
		return 43004, ""
	}
	if f := a.followers[m.ToUser]; f != nil {
		if f.reject != 0 {
			return f.reject, ""
		}
		if f.refused[m.TemplateID] {
			return 43101, ""
		}
	}
	return 0, ""
}

// deliver puts the message into the recipient's chat unless it is a duplicate.
// The lock is held.
func (c *call) deliver(m *wechat.TemplateMessage) answer {
	a, cfg := c.account, &c.p.cfg
	key := idKey{m.ToUser, m.ClientMsgID}
	if m.ClientMsgID != "" {
		if first, seen := a.recent.byID(key, c.now, cfg.DuplicateWindow); seen {
			return duplicateAnswer(cfg.Duplicate, first)
		}
	}
	if cfg.DuplicateContent && a.recent.sameContent(m, c.now) {
		return refuse(40241)
	}
	c.p.lastID++
	id := c.p.lastID
	a.recent.remember(key, id, c.now, cfg.DuplicateWindow)
	s := Seen{
		AppID: a.cfg.AppID, OpenID: key.openid, ClientMsgID: key.clientMsgID, TemplateID: m.TemplateID,
		MsgID: id, At: c.now, Body: c.body,
	}
	s.Seq = c.p.chats.add(s)
	c.beforeAnswer = a.receipt(s)
	return accepted(id)
}

func duplicateAnswer(how DuplicateAnswer, first wechat.MessageID) answer {
	switch how {
	case ZeroMsgID:
		return accepted(0)
	case RefuseDuplicate:
		return refuse(40241)
	case SameMsgID:
	}
	return accepted(first)
}

func accepted(id wechat.MessageID) answer {
	body := strconv.AppendInt([]byte(`{"errcode":0,"errmsg":"ok","msgid":`), int64(id), 10)
	return answer{body: append(body, '}')}
}
