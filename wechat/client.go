package wechat

import (
	"context"
	"net/http"
	"time"
)

// Config describes one account at WeChat.
type Config struct {
	AppID     string
	AppSecret Secret // needed by TokenFetcher only
	// BaseURL is the API host. Default https://api.weixin.qq.com.
	BaseURL string
	// HTTPClient sends the calls. Default: a client of this package's own with
	// keep-alive for many sends at once.
	HTTPClient *http.Client
	// Timeout bounds one call. Default 10 s.
	Timeout time.Duration
	// BeforeReplay is asked before a send is replayed with a new token, since
	// the replay is one more call of the day's quota. An error stops the
	// replay; the first answer is returned joined with it. Nil: always replay.
	BeforeReplay func(context.Context) error
}

// Client calls WeChat's server API for one account. Safe for concurrent use.
type Client struct {
	cfg    Config
	tokens TokenSource
}

// NewClient checks cfg and names all faults at once.
func NewClient(cfg Config, tokens TokenSource) (*Client, error) { panic("not built") }

// SendTemplate sends m (docs: 发送模板消息). The error is *Error,
// *TransportError, or the token source's own.
func (c *Client) SendTemplate(ctx context.Context, m *TemplateMessage) (MessageID, error) {
	panic("not built")
}

// SendTemplateBody sends body, an encoded TemplateMessage, byte for byte.
func (c *Client) SendTemplateBody(ctx context.Context, body []byte) (MessageID, error) {
	panic("not built")
}

// QuotaPath is the cgi_path of template sends for Quota.
const QuotaPath = "/cgi-bin/message/template/send"

// Quota is one API's daily budget as WeChat counts it (±1 %, it may lag).
type Quota struct {
	DailyLimit int64 `json:"daily_limit"`
	Used       int64 `json:"used"`
	Remain     int64 `json:"remain"`
}

// Quota calls POST /cgi-bin/openapi/quota/get for one API path.
func (c *Client) Quota(ctx context.Context, path string) (Quota, error) { panic("not built") }
