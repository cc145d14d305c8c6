package wechat

// Code is WeChat's errcode.
type Code int

// Kind says what an errcode means to a sender.
type Kind int

// The kinds. KindUnknown is the zero value: a code outside the table.
const (
	KindUnknown     Kind = iota // not in the table: two retries, then give up
	KindToken                   // 40001 40014 42001 41001: replay once with another token
	KindBusy                    // -1: back off; the outcome is not known
	KindRate                    // 45011: the minute's quota; slow down
	KindQuota                   // 45009: the day's quota
	KindRecipient               // this recipient cannot be written to
	KindRefused                 // 43101: this recipient refuses this template
	KindFrequency               // 43117: this recipient was written to too often; later
	KindMessage                 // this message is wrong for good
	KindTemplate                // this template cannot be used
	KindAccount                 // nothing of this account can be sent now
	KindDuplicate               // 40241: WeChat saw the same content a moment ago
	KindManagement              // only management calls answer it
)

// Error is an answer of WeChat with an errcode other than 0.
type Error struct {
	Op   string // the API path, without query
	Code Code
	Msg  string // errmsg without rid, credentials and openids
	RID  string // WeChat's request id, valid seven days for rid/get; may be empty
}

func (e *Error) Error() string { panic("not built") }

// TransportError is a call that did not come back with a WeChat answer:
// a network failure, an HTTP status other than 200, or a body that is not JSON.
type TransportError struct {
	Op         string
	HTTPStatus int  // 0 when no status line arrived
	Ambiguous  bool // true when WeChat may have acted on the request
	Err        error
}

func (e *TransportError) Error() string { panic("not built") }

// Unwrap returns the cause; no *url.Error is ever in the chain, since it
// carries the access token.
func (e *TransportError) Unwrap() error { return e.Err }

// KindOf returns the kind of the *Error in err's chain, KindUnknown otherwise.
func KindOf(err error) Kind { panic("not built") }

// CodeOf returns the errcode of the *Error in err's chain.
func CodeOf(err error) (Code, bool) { panic("not built") }

// Ambiguous reports whether WeChat may have accepted the message although err
// came back: errcode -1, an answer lost after the request was written, HTTP 5xx,
// an unreadable body.
func Ambiguous(err error) bool { panic("not built") }

// Name is the code's short stable name, such as "require-subscribe".
func (c Code) Name() string { panic("not built") }

// Kind looks the code up in the table.
func (c Code) Kind() Kind { panic("not built") }

// Remedy is one sentence that tells an operator what to do.
func (c Code) Remedy() string { panic("not built") }
