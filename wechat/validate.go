package wechat

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a message. WeChat does not document them; they refuse only what
// cannot be valid.
const (
	bodyLimit        = 16 << 10 // bytes of the encoded message
	openIDLimit      = 64
	templateIDLimit  = 64
	appIDLimit       = 64
	clientMsgIDLimit = 32
	keyLimit         = 64
)

// isKeyName reports whether key consists of letters, digits and '_' and does not
// start with a digit.
func isKeyName(key string) bool {
	return isToken(key, keyLimit) && !strings.Contains(key, "-") && !isDigit(key[0])
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// isHistoric reports whether key belongs to a historic template: keyword1, or a name
// without a number, such as first.
func isHistoric(key string) bool {
	name := strings.TrimRight(key, "0123456789")
	return name == key || name == "keyword"
}

// Validate checks m against WeChat's rules (docs: 发送模板消息 § 参数值内容限制说明)
// and returns an *InvalidError with all faults, or nil. Where WeChat's page is
// not precise, it accepts.
func (m *TemplateMessage) Validate() error {
	if m == nil {
		return invalid([]Fault{newFault("", FaultMessageMissing)})
	}
	return invalid(append(m.recipientFaults(), m.contentFaults()...))
}

// ValidateContent checks all but ToUser, for a message whose recipient is not
// known yet.
func (m *TemplateMessage) ValidateContent() error {
	if m == nil {
		return m.Validate()
	}
	return invalid(m.contentFaults())
}

// ValidateFor checks m as Validate does, and its keys against those of the
// template, which Template.Keys and ParseTemplateKeys return.
func (m *TemplateMessage) ValidateFor(keys []string) error {
	if m == nil {
		return m.Validate()
	}
	return invalid(slices.Concat(m.recipientFaults(), m.contentFaults(), m.KeyFaults(keys)))
}

// ValidateValue checks one value by the type of its key, such as thing1, as
// Validate does.
func ValidateValue(key, value string) error {
	return invalid(faultsOfField(key, Field{Value: value}))
}

// ValidateOpenID checks the form of an openid, as Validate does. The path of its fault is
// touser.
func ValidateOpenID(openid string) error {
	return invalid((&TemplateMessage{ToUser: openid}).recipientFaults())
}

// ValidateTemplateID checks the form of a template id, as Validate does. The path of its
// fault is template_id.
func ValidateTemplateID(id string) error {
	if isToken(id, templateIDLimit) {
		return nil
	}
	return invalid([]Fault{newFault("template_id", FaultTemplateInvalid)})
}

// KeyFaults compares the keys of Data with those of the template.
func (m *TemplateMessage) KeyFaults(keys []string) []Fault {
	var faults []Fault
	for _, key := range keys {
		if _, ok := m.Data[key]; !ok {
			faults = append(faults, newFault(keyPath(key), FaultKeyMissing))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		// A malformed key has another fault already.
		if keyFault(key) == "" && !slices.Contains(keys, key) {
			faults = append(faults, newFault(keyPath(key), FaultKeyUnknown))
		}
	}
	return faults
}

func invalid(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &InvalidError{Faults: faults}
}

func (m *TemplateMessage) recipientFaults() []Fault {
	switch to := m.ToUser; {
	case strings.TrimSpace(to) == "":
		return []Fault{newFault("touser", FaultOpenIDMissing)}
	case isToken(to, openIDLimit):
		return nil
	case !utf8.ValidString(to):
		return nil // see encodingFaults
	case isOpenIDList(to):
		return []Fault{newFault("touser", FaultOpenIDSeveral)}
	case strings.Contains(to, "…") || strings.Contains(to, "**"):
		return []Fault{faultOf("touser", FaultOpenIDInvalid, words{"is masked, as lists and pages show it: give the whole openid", "是打码后的 openid：请给出完整的 openid"})}
	default:
		return []Fault{newFault("touser", FaultOpenIDInvalid)}
	}
}

// isOpenIDList reports whether text names several openids. All openids begin with o.
func isOpenIDList(text string) bool {
	parts := strings.FieldsFunc(text, isListSeparator)
	for _, part := range parts {
		if part[0] != 'o' || !isToken(part, openIDLimit) {
			return false
		}
	}
	return len(parts) > 1
}

func isListSeparator(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(",;|，；、[]\"", r)
}

func (m *TemplateMessage) contentFaults() []Fault {
	faults := m.encodingFaults()
	isUTF8 := len(faults) == 0
	add := func(path string, code FaultCode) { faults = append(faults, newFault(path, code)) }
	switch id := m.TemplateID; {
	case strings.TrimSpace(id) == "":
		add("template_id", FaultTemplateMissing)
	case !isToken(id, templateIDLimit) && utf8.ValidString(id):
		add("template_id", FaultTemplateInvalid)
	}
	if m.URL != "" && !isWebURL(m.URL) && utf8.ValidString(m.URL) {
		add("url", FaultURLInvalid)
	}
	if p := m.MiniProgram; p != nil && *p != (MiniProgram{}) {
		switch {
		case strings.TrimSpace(p.AppID) == "":
			add("miniprogram.appid", FaultMiniProgramAppID)
		case !isToken(p.AppID, appIDLimit) && utf8.ValidString(p.AppID):
			add("miniprogram.appid", FaultMiniProgramInvalid)
		}
		if hasControl(p.PagePath, false) {
			add("miniprogram.pagepath", FaultControl)
		}
		if strings.Contains(p.PagePath, "\uFFFD") && utf8.ValidString(p.PagePath) {
			add("miniprogram.pagepath", FaultReplaced)
		}
	}
	if m.ClientMsgID != "" && !isToken(m.ClientMsgID, clientMsgIDLimit) && utf8.ValidString(m.ClientMsgID) {
		add("client_msg_id", FaultClientMsgID)
	}
	if len(m.Data) == 0 {
		add("data", FaultDataMissing)
	}
	faults = append(faults, m.fieldFaults(faultsOfField)...)
	if isUTF8 && m.mayExceed(bodyLimit) {
		if body, err := MarshalBody(m); err == nil && len(body) > bodyLimit {
			faults = append(faults, faultOf("", FaultBodyTooLarge, words{
				"is too large: the encoded message has %d bytes, and %d are allowed: shorten the values",
				"过大：编码后的消息有 %d 字节，最多 %d 字节：请缩短字段内容",
			}.with(len(body), bodyLimit)))
		}
	}
	return faults
}

// mayExceed reports whether the encoded message may have more bytes than limit,
// without encoding it.
func (m *TemplateMessage) mayExceed(limit int) bool {
	const escape, names = 6, 128 // bytes of an escaped character; of the fields' names, at most
	texts := len(m.ToUser) + len(m.TemplateID) + len(m.URL) + len(m.ClientMsgID)
	if p := m.MiniProgram; p != nil {
		texts += len(p.AppID) + len(p.PagePath)
	}
	for key, f := range m.Data {
		texts += len(key) + len(f.Value) + len(f.Color)
	}
	return escape*texts+names*(1+len(m.Data)) > limit
}

func isWebURL(text string) bool {
	if hasControl(text, false) || strings.ContainsAny(text, " \u3000\uFFFD") {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// faultsOfField checks one key with its value.
func faultsOfField(key string, f Field) []Fault {
	if !utf8.ValidString(key) || !utf8.ValidString(f.Value) || !utf8.ValidString(f.Color) {
		return nil // see encodingFaults
	}
	var faults []Fault
	code := keyFault(key)
	path := func() string { // only for a fault: usually there is none
		if code == FaultKeyEmpty {
			return "data"
		}
		return keyPath(key)
	}
	if code != "" {
		faults = append(faults, newFault(path(), code))
	}
	if hasControl(f.Color, false) {
		faults = append(faults, newFault(path()+".color", FaultControl))
	}
	if hasControl(f.Value, isHistoric(key)) {
		return append(faults, newFault(path()+".value", FaultControl))
	}
	if fault, bad := valueFault(strings.TrimSuffix(key, ".DATA"), f.Value); bad {
		fault.Path = path() + ".value"
		faults = append(faults, fault)
	}
	return faults
}

// keyFault is empty for a valid key.
func keyFault(key string) FaultCode {
	switch {
	case isKeyName(key):
		return ""
	case strings.TrimSpace(key) == "":
		return FaultKeyEmpty
	case strings.HasSuffix(strings.ToUpper(key), ".DATA"):
		return FaultKeySuffix
	default:
		return FaultKeyInvalid
	}
}

// keyPath is the path of a key of data. A malformed key is quoted and shortened, with
// escapes for what is not seen, and one that may be an openid is masked.
func keyPath(key string) string {
	switch {
	case !isKeyName(key):
		return scrub("data["+strconv.Quote(cut(key, keyLimit))+"]", nil)
	case len(key) > 20:
		return "data." + scrub(key, nil)
	default:
		return "data." + key
	}
}

// hasControl reports control characters. Historic keys may have line breaks,
// which WeChat accepts.
func hasControl(text string, historic bool) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		if historic && (r == '\n' || r == '\r') {
			return false
		}
		return unicode.IsControl(r)
	})
}
