package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// code is what went wrong, stable, for programs.
type code string

const (
	codeMalformed   code = "malformed"
	codeRefused     code = "message-refused"
	codeIDReused    code = "id-reused"
	codeKeyReused   code = "idempotency-key-reused"
	codeInFlight    code = "in-flight"
	codeTooLate     code = "too-late"
	codeBusy        code = "id-busy"
	codeNotFound    code = "not-found"
	codeMethod      code = "method-not-allowed"
	codeMediaType   code = "not-json"
	codeTooLarge    code = "body-too-large"
	codeTooMany     code = "too-many-messages"
	codeUnknownKey  code = "unauthorized"
	codeScope       code = "scope-missing"
	codeAccount     code = "account-forbidden"
	codeRecipient   code = "recipient-forbidden"
	codeClass       code = "class-forbidden"
	codeRate        code = "rate-limited"
	codeShare       code = "quota-share-used"
	codeRedisFull   code = "redis-full"
	codeRedisAway   code = "redis-unavailable"
	codeNoEnrolment code = "enrolment-not-configured"
	codeInternal    code = "internal"
)

// titles of the codes, in English and Chinese.
func titles(c code) (en, zh string) {
	t, ok := map[code][2]string{
		codeMalformed:   {"The request cannot be read", "请求无法解析"},
		codeRefused:     {"The message is refused", "消息被拒绝"},
		codeIDReused:    {"The ID belongs to another message", "该 ID 已用于另一条消息"},
		codeKeyReused:   {"The Idempotency-Key was used with another body", "该 Idempotency-Key 已用于不同的请求体"},
		codeInFlight:    {"The same request is being processed", "相同的请求正在处理中"},
		codeTooLate:     {"It is too late", "为时已晚"},
		codeBusy:        {"The ID is in use for a moment", "该 ID 暂时被占用"},
		codeNotFound:    {"Not found", "未找到"},
		codeMethod:      {"The path does not take this method", "该路径不支持此方法"},
		codeMediaType:   {"The body must be JSON", "请求体必须是 JSON"},
		codeTooLarge:    {"The body is too large", "请求体过大"},
		codeTooMany:     {"Too many messages in one call", "一次调用的消息过多"},
		codeUnknownKey:  {"The API key is missing or unknown", "缺少 API 密钥或密钥无效"},
		codeScope:       {"The API key has not the scope", "API 密钥缺少所需的权限"},
		codeAccount:     {"The API key belongs to another account", "API 密钥属于另一个公众号"},
		codeRecipient:   {"The API key may not write to this recipient", "API 密钥不能给该收件人发送"},
		codeClass:       {"The API key may not use this class", "API 密钥不能使用该级别"},
		codeRate:        {"Too many calls", "调用过于频繁"},
		codeShare:       {"The key's share of the day's quota is used", "该密钥的当日配额份额已用完"},
		codeRedisFull:   {"Redis is nearly full", "Redis 内存将满"},
		codeRedisAway:   {"Redis does not answer", "Redis 无响应"},
		codeNoEnrolment: {"Enrolment is not configured", "未配置用户绑定"},
		codeInternal:    {"Internal error", "内部错误"},
	}[c]
	if !ok {
		return string(c), string(c)
	}
	return t[0], t[1]
}

// problem is RFC 9457's answer, and the error that leads to it.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	Code      code           `json:"code"`
	RequestID string         `json:"request_id,omitempty"`
	State     producer.State `json:"state,omitempty"` // of the message that it is too late for
	Faults    []fault        `json:"faults,omitempty"`

	format     string // of Detail, with args
	args       []any
	subject    string // what Faults[0] is about, where Detail repeats that fault
	retryAfter time.Duration
	cause      error // for the log
}

// fault is one thing wrong with the request.
type fault struct {
	Pointer string `json:"pointer"` // JSON pointer (RFC 6901); empty: the whole body
	Code    string `json:"code"`
	Detail  string `json:"detail"`

	source *wechat.Fault // nil: of our own
}

func newFault(pointer, code, detail string) fault {
	return fault{Pointer: pointer, Code: code, Detail: detail}
}

// faultOf is a fault of the message that lies at the JSON pointer base.
func faultOf(base string, f wechat.Fault) fault {
	return fault{Pointer: base + f.Pointer(), Code: string(f.Code), Detail: f.Message, source: &f}
}

func (p *problem) Error() string { return string(p.Code) + ": " + p.Detail }
func (p *problem) Unwrap() error { return p.cause }

func problemf(status int, c code, format string, args ...any) *problem {
	return &problem{Status: status, Code: c, Detail: fmt.Sprintf(format, args...), format: format, args: args}
}

// in writes the texts in lang, and what every problem has.
func (p *problem) in(lang wechat.Lang, requestID string) {
	en, zh := titles(p.Code)
	p.Title, p.Type, p.RequestID = en, "urn:wxnotify:problem:"+string(p.Code), requestID
	translate(p.Faults, lang)
	if lang != wechat.Chinese {
		return
	}
	p.Title = zh
	if p.format == "" {
		p.Detail = strings.TrimSpace(chinese.Say(p.subject) + " " + p.Faults[0].Detail)
		return
	}
	args := slices.Clone(p.args)
	for i, arg := range args {
		if text, ok := arg.(interface{ In(lang wechat.Lang) string }); ok {
			args[i] = text.In(lang)
		}
	}
	p.Detail = chinese.Say(p.format, args...)
}

// translate writes the texts of faults in lang.
func translate(faults []fault, lang wechat.Lang) {
	for i, f := range faults {
		switch {
		case f.source != nil:
			faults[i].Detail = f.source.MessageIn(lang)
		case lang == wechat.Chinese:
			faults[i].Detail = chinese.Say(f.Detail)
		}
	}
}

// retry tells the caller to repeat the call after d.
func (p *problem) retry(d time.Duration) *problem {
	p.retryAfter = max(d, time.Second)
	return p
}

// problemOf makes a problem of any error.
func problemOf(err error) *problem {
	var (
		p       *problem
		invalid *wechat.InvalidError
		reused  *producer.IDReusedError
		late    *producer.TooLateError
		tooBig  *http.MaxBytesError
		network net.Error
		share   *apikey.ShareError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return refusal(invalid.Faults, "")
	case errors.As(err, &reused):
		q := problemf(http.StatusUnprocessableEntity, codeIDReused, "the ID %s belongs to another message: choose a new ID for other content", reused.ID)
		q.State = reused.State
		return q
	case errors.As(err, &late):
		q := problemf(http.StatusConflict, codeTooLate, "the message %s is %s", late.ID, late.State)
		q.State = late.State
		return q
	case errors.As(err, &share):
		return problemf(http.StatusTooManyRequests, codeShare, "the key has used %d of its %d messages of the day, and the call has %d", share.Used, share.Limit, share.Messages).retry(time.Until(share.ResetsAt))
	case errors.Is(err, producer.ErrNotFound):
		return problemf(http.StatusNotFound, codeNotFound, "there is no message with this ID, or it ended longer ago than it is remembered")
	case errors.Is(err, producer.ErrBusy):
		return problemf(http.StatusConflict, codeBusy, "a worker is completing the task of an earlier message with this ID: repeat the call in a second").retry(time.Second)
	case errors.As(err, &tooBig):
		return problemf(http.StatusRequestEntityTooLarge, codeTooLarge, "the body has more than %d bytes: cut the call in several", tooBig.Limit)
	case errors.Is(err, producer.ErrRedisFull):
		return problemf(http.StatusServiceUnavailable, codeRedisFull, "nothing was enqueued: give Redis more memory, then repeat the call").retry(30 * time.Second)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &network),
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrClosed), errors.Is(err, io.EOF),
		redis.HasErrorPrefix(err, ""), errors.Is(err, producer.ErrClosed):
		q := problemf(http.StatusServiceUnavailable, codeRedisAway,
			"it is not known whether the call was done: repeat it with the same ID").retry(5 * time.Second)
		q.cause = err
		return q
	}
	q := problemf(http.StatusInternalServerError, codeInternal, "the log has the cause under this request_id")
	q.cause = err
	return q
}

// fail writes the problem and logs it.
func (c *call) fail(err error) {
	p := problemOf(err)
	p.in(c.lang(), c.id)
	if p.retryAfter > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter.Round(time.Second)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="wxnotify"`)
	}
	c.problem = p
	c.w.Header().Set("Content-Type", "application/problem+json")
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"status":500}`)
	}
	c.write(p.Status, append(body, '\n'))
	if p.Status >= http.StatusInternalServerError {
		c.server.log.Error("an API call failed", append(c.fields(), zap.NamedError("cause", p.cause))...)
	}
}
