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

// Limits of a message. WeChat documents none of these; they keep what is
// surely wrong out of the queue.
const (
	BodyLimit        = 16 << 10 // bytes of the encoded message
	OpenIDLimit      = 64
	TemplateIDLimit  = 64
	ClientMsgIDLimit = 32
	keyLimit         = 64
)

// isKeyName is true for letters, digits and '_' that start with no digit.
func isKeyName(key string) bool {
	return isToken(key, keyLimit) && !strings.Contains(key, "-") && (key[0] < '0' || key[0] > '9')
}

// isHistoric is true for the keys of historic templates: first, remark and
// keyword with a number.
func isHistoric(key string) bool {
	number, ok := strings.CutPrefix(key, "keyword")
	return key == "first" || key == "remark" || ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Validate checks m against WeChat's rules (docs: 发送模板消息 § 参数值内容限制说明)
// and returns an *InvalidError with all faults at once, or nil. It is lenient
// where WeChat's documentation leaves room.
func (m *TemplateMessage) Validate() error {
	if m == nil {
		return invalid([]Fault{newFault("", FaultMessageMissing)})
	}
	return invalid(append(m.recipientFaults(), m.contentFaults()...))
}

// ValidateContent checks everything but ToUser, for a message whose recipient
// is found later.
func (m *TemplateMessage) ValidateContent() error {
	if m == nil {
		return invalid([]Fault{newFault("", FaultMessageMissing)})
	}
	return invalid(m.contentFaults())
}

// ValidateFor checks m as Validate does, and its keys against those of the
// template, as Template.Keys or ParseTemplateKeys give them.
func (m *TemplateMessage) ValidateFor(keys []string) error {
	if m == nil {
		return m.Validate()
	}
	return invalid(slices.Concat(m.recipientFaults(), m.contentFaults(), m.KeyFaults(keys)))
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
		// A key that is no key at all has its own fault.
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
	case isToken(to, OpenIDLimit):
		return nil
	case !utf8.ValidString(to):
		return nil // contentFaults says so
	case len(strings.FieldsFunc(to, isListSeparator)) > 1:
		return []Fault{newFault("touser", FaultOpenIDSeveral)}
	default:
		return []Fault{newFault("touser", FaultOpenIDInvalid)}
	}
}

func isListSeparator(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(",;|，；、[]\"", r)
}

func (m *TemplateMessage) contentFaults() []Fault {
	faults := m.encodingFaults()
	clean := len(faults) == 0
	add := func(path string, code FaultCode) { faults = append(faults, newFault(path, code)) }
	switch id := m.TemplateID; {
	case strings.TrimSpace(id) == "":
		add("template_id", FaultTemplateMissing)
	case !isToken(id, TemplateIDLimit) && utf8.ValidString(id):
		add("template_id", FaultTemplateInvalid)
	}
	if m.URL != "" && !isWebURL(m.URL) && utf8.ValidString(m.URL) {
		add("url", FaultURLInvalid)
	}
	if p := m.MiniProgram; p != nil && *p != (MiniProgram{}) {
		switch {
		case strings.TrimSpace(p.AppID) == "":
			add("miniprogram.appid", FaultMiniProgramAppID)
		case !isToken(p.AppID, 64) && utf8.ValidString(p.AppID):
			add("miniprogram.appid", FaultMiniProgramInvalid)
		}
		if hasControl(p.PagePath, false) {
			add("miniprogram.pagepath", FaultControl)
		}
	}
	if m.ClientMsgID != "" && !isToken(m.ClientMsgID, ClientMsgIDLimit) && utf8.ValidString(m.ClientMsgID) {
		add("client_msg_id", FaultClientMsgID)
	}
	if len(m.Data) == 0 {
		add("data", FaultDataMissing)
	}
	faults = append(faults, m.dataFaults()...)
	if clean && m.mayExceed(BodyLimit) {
		if body, err := MarshalBody(m); err == nil && len(body) > BodyLimit {
			faults = append(faults, faultf("", FaultBodyTooLarge,
				"is too large: %d bytes when encoded, %d are allowed: shorten the values", len(body), BodyLimit))
		}
	}
	return faults
}

// dataFaults spares the usual message, which has none, the sorting of its keys.
func (m *TemplateMessage) dataFaults() []Fault {
	bad := false
	for key, f := range m.Data {
		bad = bad || len(fieldFaults(key, f)) > 0
	}
	if !bad {
		return nil
	}
	var faults []Fault
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		faults = append(faults, fieldFaults(key, m.Data[key])...)
	}
	return faults
}

// mayExceed is false when m fits in limit however it is escaped, which spares
// encoding the usual message just to measure it.
func (m *TemplateMessage) mayExceed(limit int) bool {
	const longestEscape, names = 6, 64
	n := len(m.ToUser) + len(m.TemplateID) + len(m.URL) + len(m.ClientMsgID)
	if m.MiniProgram != nil {
		n += len(m.MiniProgram.AppID) + len(m.MiniProgram.PagePath)
	}
	for key, f := range m.Data {
		n += names + len(key) + len(f.Value) + len(f.Color)
	}
	return longestEscape*n+4*names > limit
}

func isWebURL(text string) bool {
	if isPlainURL(text) {
		return true
	}
	if hasControl(text, false) || strings.ContainsAny(text, " \u3000") {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// fieldFaults checks one key with its value.
func fieldFaults(key string, f Field) []Fault {
	if !utf8.ValidString(key) || !utf8.ValidString(f.Value) || !utf8.ValidString(f.Color) {
		return nil // encodingFaults says so
	}
	var faults []Fault
	code := keyFault(key)
	path := func() string { // made for a fault only
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

// keyFault is empty for a usable key.
func keyFault(key string) FaultCode {
	switch {
	case strings.TrimSpace(key) == "":
		return FaultKeyEmpty
	case strings.HasSuffix(strings.ToUpper(key), ".DATA"):
		return FaultKeySuffix
	case !isKeyName(key):
		return FaultKeyInvalid
	default:
		return ""
	}
}

// keyPath names a key of data; what is not a plain name is quoted and cut.
func keyPath(key string) string {
	if isKeyName(key) {
		return "data." + key
	}
	return "data[" + quoteKey(key) + "]"
}

func quoteKey(key string) string {
	return strconv.QuoteToASCII(cut(key, keyLimit))
}

// hasControl reports control characters. Historic keys may hold line breaks,
// which WeChat took for years.
func hasControl(text string, historic bool) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		if historic && (r == '\n' || r == '\r') {
			return false
		}
		return unicode.IsControl(r)
	})
}
