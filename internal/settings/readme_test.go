package settings_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

var update = flag.Bool("update", false, "write the generated parts of golden files again")

const (
	settingsBegin = "<!-- settings -->\n"
	settingsEnd   = "<!-- /settings -->"
)

// TestGoldenReadmeSettings keeps the tables of both READMEs equal to the table of
// settings.
func TestGoldenReadmeSettings(t *testing.T) {
	t.Parallel()
	for name, language := range map[string]readmeLanguage{"README.md": english(), "README.zh-CN.md": chinese()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("..", "..", name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			before, rest, opened := strings.Cut(string(text), settingsBegin)
			_, after, closed := strings.Cut(rest, settingsEnd)
			if !opened || !closed {
				t.Fatalf("%s has no %s … %s", name, strings.TrimSpace(settingsBegin), settingsEnd)
			}
			testutil.Golden(t, *update, path, before+settingsBegin+language.table(t)+settingsEnd+after)
		})
	}
}

// readmeLanguage says how a row reads in one language.
type readmeLanguage struct {
	head             string
	usage            func(settings.Setting) (string, bool)
	form             string // how meaning and default stand together
	orFile, perEntry string
}

func english() readmeLanguage {
	return readmeLanguage{
		head:   "| variable | meaning (default) |\n| --- | --- |\n",
		usage:  func(s settings.Setting) (string, bool) { return s.Usage, true },
		form:   "%s (`%s`)",
		orFile: " or `…_FILE`", perEntry: " ᴬ",
	}
}

func chinese() readmeLanguage {
	words := map[string]string{
		"redis_url":                 "`redis://`、`rediss://`、`unix:///path?db=0`、`redis-sentinel://host1,host2/?master=name` 或 `redis-cluster://host1,host2`",
		"redis_ca_file":             "签发 Redis 证书的 CA 的 PEM 文件；默认用系统的 CA",
		"redis_cert_file":           "客户端证书的 PEM 文件，用于要求客户端证书的 Redis",
		"redis_key_file":            "客户端证书私钥的 PEM 文件",
		"redis_server_name":         "Redis 证书里的名称；默认为 URL 的主机名",
		"wechat_proxy":              "调用微信时使用的 http://、https:// 或 socks5:// 代理；默认用 HTTPS_PROXY",
		"appid":                     "公众号的 AppID",
		"appsecret":                 "公众号的 AppSecret",
		"token_mode":                "用哪个接口取 access_token：stable 或 classic",
		"wechat_base_url":           "微信 API 地址；模拟器或代理可以用 http://",
		"wechat_authorize_url":      "微信网页授权地址",
		"daily_quota":               "每天可发多少条；0 表示问微信的配额接口",
		"reserve_critical":          "配额中只留给 critical 的比例",
		"rate":                      "每秒发多少条，所有 worker 合计",
		"concurrency":               "每进程每账号同时在途的发送数；不宜超过 500",
		"quota_utc_offset":          "配额按哪个时区换日",
		"seal_name_keys":            "加密 Redis 中的 openid 和用户：密钥格式与 WXNOTIFY_SEAL_KEYS 相同，且必须同时设置后者；第一个用于加密，所有进程须相同；'wxnotify seal names' 转换已有账号",
		"seal_keys":                 "加密 Redis 中等待的消息：每个密钥为 64 位十六进制数字，用 'openssl rand -hex 32' 生成，多个之间用逗号分隔；第一个用于加密，全部可用于解密",
		"keep":                      "消息结束后记录保留多久，至少 1h",
		"events_keep":               "事件保留多久，供 webhook 和读取者使用，1h 到 168h",
		"webhook_private":           "设为 true 时 webhook 可用 http:// 和内网地址",
		"events_max":                "每个账号的事件条目数，每条约 100 字节，1000 到 1000000",
		"drain_timeout":             "停止时等在途发送多久，至少 11s",
		"callback_token":            "消息推送配置里的 Token，3 到 32 位字母或数字",
		"encoding_aes_key":          "消息推送配置里的 EncodingAESKey，43 位字母或数字",
		"callback_mode":             "plain（明文）、compat（兼容）或 secure（安全）；设了密钥即为 secure",
		"public_url":                "用户打开的链接的前缀",
		"callback_token_previous":   "更换前的 Token，在 callback_previous_until 之前仍然有效",
		"encoding_aes_key_previous": "更换前的 EncodingAESKey，在 callback_previous_until 之前仍然有效",
		"callback_previous_until":   "旧值何时失效，例如 2026-12-01T00:00:00+08:00",
		"forward_url":               "你自己的服务器，接收关注者的消息和事件：推送按明文模式转发，回复转给关注者",
		"return_urls":               "绑定后可以跳转到的地址，用逗号分隔",
		"account_name":              "关注者看到的页面上显示的公众号名称",
		"erase_unsubscribed":        "取消关注即遗忘：名册、记录和待发消息",
		"resend":                    "回执说微信发送失败时重发哪些等级的消息；- 表示不重发",
		"public_addr":               "enroll 的监听地址",
		"enroll_key":                "给绑定凭证签名的密钥，至少 32 字节",
		"enroll_key_previous":       "上一个 enroll_key：用它生成的链接仍然有效；最多保留 30 天，之后删除",
		"ops_addr":                  "/console/ /healthz /readyz /metrics /asynqmon/ 的监听地址；- 表示不监听",
		"ops_login":                 "运维端口的 用户名:密码；监听在回环地址之外时必填",
		"ops_users_file":            "更多登录的文件，每行 名字:角色:哈希；角色为 view、support、operate 或 admin，哈希为 bcrypt，或 oidc",
		"audit_file":                "控制台和 HTTP API 的每次更改写入一行 JSON 的文件，每行含上一行的哈希；- 表示 stdout",
		"ops_two_persons":           "设为 true 时，删除个人数据须由另一个 admin 登录确认，丢弃一类死信的全部消息须由另一个 operate 登录确认",
		"ops_oidc_issuer":           "OIDC 签发者，其用户可登录运维端口，例如 https://sso.example.com/realms/ops",
		"ops_oidc_client_id":        "OIDC 签发者给出的 client id",
		"ops_oidc_client_secret":    "OIDC 签发者给出的 client secret",
		"ops_oidc_redirect_url":     "浏览器看到的运维端口 /oidc/callback 地址，例如 https://ops.example.com/oidc/callback",
		"ops_oidc_role_claim":       "ID token 中含角色 view、support、operate 或 admin 的声明；不设则角色取自 ops_users_file",
		"ops_link_key":              "给免登录的消息页面链接签名的密钥，至少 32 字节；不设则没有这种链接",
		"api_addr":                  "HTTP API 的监听地址；- 表示不监听",
		"api_keys":                  "HTTP API 的静态密钥，格式为 名称:密钥，用逗号分隔，每个密钥至少 32 个字符；更好的做法是用 wxnotify api keys create 创建",
		"gateway":                   "在 HTTP API 的端口上提供微信自己的路径，供使用微信 SDK 的程序接入",
		"bind":                      "latest：消息发给用户最后绑定的 openid；first：用户已有 openid 时拒绝新的，直到解绑",
		"verify_files":              "MP_verify_*.txt 所在目录，在公开端口的根路径提供",
		"trusted_proxies":           "其 X-Forwarded-For 可信的代理，例如 10.0.0.0/8，用逗号分隔",
		"ops_hosts":                 "代理访问运维端口时使用的域名，用逗号分隔",
		"ops_prefix":                "代理提供运维端口时使用的路径，例如 /wxnotify",
		"log_level":                 "debug、info、warn 或 error",
		"log_format":                "json 或 console；stderr 是终端时默认 console，否则为 json",
	}
	return readmeLanguage{
		head:   "| 变量 | 含义（默认值） |\n| --- | --- |\n",
		usage:  func(s settings.Setting) (string, bool) { text, ok := words[s.Name]; return text, ok },
		form:   "%s（`%s`）",
		orFile: " 或 `…_FILE`", perEntry: " ᴬ",
	}
}

func (l readmeLanguage) table(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(l.head)
	for _, s := range settings.Table() {
		name, meaning := "`"+s.Env()+"`", ""
		usage, ok := l.usage(s)
		if !ok {
			t.Errorf("%s has no text in this language", s.Name)
		}
		if meaning = usage; s.Default != "" {
			meaning = fmt.Sprintf(l.form, usage, s.Default)
		}
		if s.Secret() {
			name += l.orFile
		}
		if s.Account {
			name += l.perEntry
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, meaning)
	}
	return b.String()
}
