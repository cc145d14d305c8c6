package wechat_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/wechat"
)

var update = flag.Bool("update", false, "write docs/errors.md and docs/errors.zh-CN.md")

// TestErrorsDoc keeps the documents equal to the tables. With -update it writes
// them: go generate ./wechat.
func TestErrorsDoc(t *testing.T) {
	t.Parallel()
	for _, doc := range []errorsDoc{englishDoc(), chineseDoc()} {
		want := doc.render()
		if *update {
			must(t, os.WriteFile(doc.file, []byte(want), 0o644))
		}
		got, err := os.ReadFile(doc.file)
		must(t, err)
		if string(got) != want {
			t.Errorf("%s differs from the tables in codes_table.go, callback_error.go, faults.go and internal/fault: run go generate ./wechat", doc.file)
		}
	}
}

func TestBothErrorsDocsHaveTheSameRowsAndHeadings(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile(`^\| [-a-z0-9]+ \|`)
	shape := func(doc errorsDoc) string {
		var b strings.Builder
		inTable := false // the first row of a table has its headings
		for line := range strings.Lines(doc.render()) {
			switch {
			case strings.HasPrefix(line, "#"):
				fmt.Fprintln(&b, strings.Fields(line)[0])
			case inTable && row.MatchString(line):
				fmt.Fprintln(&b, strings.Fields(line)[1])
			}
			inTable = strings.HasPrefix(line, "|")
		}
		return b.String()
	}
	english, chinese := shape(englishDoc()), shape(chineseDoc())
	if english != chinese || strings.Count(english, "\n") < 100 {
		t.Errorf("the documents differ: %s\nand\n%s", english, chinese)
	}
}

// errorsDoc is docs/errors.md in one language.
type errorsDoc struct {
	lang                     wechat.Lang
	file, head, transport    string
	kinds, codes, codesHead  string
	anyOther                 string
	callbacks, refused, warn string
}

func englishDoc() errorsDoc {
	return errorsDoc{
		lang: wechat.English, file: "../docs/errors.md",
		head: generated + `# Errors

All reasons why a message is not sent, with what to do ([中文](errors.zh-CN.md)). There are three sources:

1. **wxnotify, before the queue**: [faults](#refused-before-the-queue) of a message, all at once, each with the path of its field.
2. **The call**: [no answer](#no-answer-from-wechat) from WeChat.
3. **WeChat**: [errcodes](#errcodes-of-wechat). Each has a [kind](#kinds), which decides what happens to the message.

The text of an error of WeChat is such as

    wechat: /cgi-bin/message/template/send: 43004 require-subscribe: require subscribe (rid 61725984-6126f6f9-040f19c4)

The rid is WeChat's id of the call; ` + "`wxnotify status`" + ` shows it. For seven days WeChat's rid/get returns its record of the call, and so does 错误诊断 on developers.weixin.qq.com/platform. Error texts have no secret, no token and no whole openid.

Names of the console are those of 2025-12: AppID, AppSecret, API IP 白名单 and 消息推送配置 (formerly 服务器配置) moved on 2025-12-01 from mp.weixin.qq.com to developers.weixin.qq.com/platform, 我的业务 > 服务号 > 基础信息 > 开发信息. 网页授权域名, 业务域名, templates, notices and the blacklist stayed on mp.weixin.qq.com.

`,
		kinds: "## Kinds\n\n| kind | what happens to the message |\n| --- | --- |\n",
		codes: `
## Errcodes of WeChat

On calls that fetch a token every code except -1 and 45011 has the kind account. On calls of web authorization, /sns/…, a code has the kind management, since it concerns one user, except when it concerns the account's credentials or permissions.

`,
		codesHead: "| errcode | name | kind | WeChat says | what to do |\n| ---: | --- | --- | --- | --- |\n",
		anyOther:  "any other",
		transport: `## No answer from WeChat

| what happened | may WeChat have accepted the message? | what happens to the message |
| --- | --- | --- |
| no connection, no such host, TLS refused, cancelled before the request was written | no | retried later |
| HTTP 3xx or 4xx: a proxy or a wrong base URL answered | no | retried later; check ` + "`WXNOTIFY_WECHAT_BASE_URL`" + ` and the proxy |
| timeout or lost connection after the request was written | perhaps | retried with the same client_msg_id while WeChat still drops duplicates, then ` + "`unknown`" + ` |
| HTTP 5xx, or a body that is not WeChat's | perhaps | the same |
| no access token | no | retried later; the error of the token call has the reason |

When WeChat refuses the token, the call is repeated once with another one. When that is refused too, or there is none, the account pauses.

`,
		callbacks: `## Callbacks refused

Requests to an account's callback URL that were refused. The answer is 403 without a reason.

| fault | what was wrong | what to do |
| --- | --- | --- |
`,
		refused: `
## Refused before the queue

From ` + "`wxnotify send`" + `, the Go producer, the HTTP API and the CSV import. The path is a field such as ` + "`data.thing1.value`" + `.

| code | the field … | what to do |
| --- | --- | --- |
`,
		warn: `
## Warnings

` + "`wxnotify send`" + ` prints them and goes on. WeChat accepts the message, but does not show all of it as written; or may refuse it, where the form of an openid, a template id or an appid is unusual.

| code | the field … | what to do |
| --- | --- | --- |
`,
	}
}

func chineseDoc() errorsDoc {
	return errorsDoc{
		lang: wechat.Chinese, file: "../docs/errors.zh-CN.md",
		head: generated + `# 错误

消息未能发送的全部原因和处理办法（[English](errors.md)）。来源有三：

1. **wxnotify，入队之前**：消息的[错误](#入队前拒绝)，一次全部列出，并注明字段路径。
2. **调用**：微信[没有应答](#微信没有应答)。
3. **微信**：[返回码](#微信返回码)。每个返回码属于一个[类别](#类别)，类别决定消息的去向。

微信错误的文字形如

    wechat: /cgi-bin/message/template/send: 43004 require-subscribe: require subscribe (rid 61725984-6126f6f9-040f19c4)

rid 是微信给这次调用的编号，` + "`wxnotify status`" + ` 会显示。七天内可用 rid/get 或微信开发者平台的“错误诊断”查询调用记录。错误文字不含密钥、token 和完整的 openid。

后台名称以 2025 年 12 月为准：2025-12-01 起，AppID、AppSecret、API IP 白名单和消息推送配置（原“服务器配置”）从 mp.weixin.qq.com 迁到 developers.weixin.qq.com/platform 的“我的业务 > 服务号 > 基础信息 > 开发信息”。网页授权域名、业务域名、模板、通知和黑名单仍在 mp.weixin.qq.com。

`,
		kinds: "## 类别\n\n| 类别 | 消息的去向 |\n| --- | --- |\n",
		codes: `
## 微信返回码

获取 token 的调用中，除 -1 和 45011 外，所有返回码都属于 account。网页授权的调用（/sns/…）中，返回码属于 management，因为它只涉及一个用户；涉及账号凭据或权限的除外。

`,
		codesHead: "| 返回码 | 名称 | 类别 | 微信的说明 | 处理办法 |\n| ---: | --- | --- | --- | --- |\n",
		anyOther:  "其他",
		transport: `## 微信没有应答

| 情况 | 微信可能已接受消息吗？ | 消息的去向 |
| --- | --- | --- |
| 无法连接、域名不存在、TLS 被拒绝、请求写出前被取消 | 否 | 稍后重试 |
| HTTP 3xx 或 4xx：应答来自代理或错误的 base URL | 否 | 稍后重试；检查 ` + "`WXNOTIFY_WECHAT_BASE_URL`" + ` 和代理 |
| 请求写出后超时或断开 | 可能 | 在微信仍会去重的时间内以相同的 client_msg_id 重试，之后为 ` + "`unknown`" + ` |
| HTTP 5xx，或应答不是微信的格式 | 可能 | 同上 |
| 没有 access token | 否 | 稍后重试；原因见获取 token 的错误 |

微信拒绝 token 时，换一个 token 重发一次。若再次被拒绝或没有其他 token，账号暂停。

`,
		callbacks: `## 被拒绝的回调

发到账号回调地址而被拒绝的请求。应答为 403，不说明原因。

| 错误 | 问题 | 处理办法 |
| --- | --- | --- |
`,
		refused: `
## 入队前拒绝

来自 ` + "`wxnotify send`" + `、Go 的 producer、HTTP API 和 CSV 导入。路径是字段，例如 ` + "`data.thing1.value`" + `。

| 代码 | 该字段…… | 处理办法 |
| --- | --- | --- |
`,
		warn: `
## 警告

` + "`wxnotify send`" + ` 会显示警告并继续。微信接受消息，但不会按原样完整显示；若 openid、模板 ID 或 appid 的形式异常，也可能拒绝。

| 代码 | 该字段…… | 处理办法 |
| --- | --- | --- |
`,
	}
}

const generated = "<!-- Generated by go generate ./wechat from wechat/codes_table.go, wechat/callback_error.go and wechat/faults.go. Do not edit. -->\n"

func (d errorsDoc) render() string {
	var b strings.Builder
	b.WriteString(d.head + d.kinds)
	for _, kind := range wechat.Kinds() {
		fmt.Fprintf(&b, "| %s | %s |\n", kind, kind.MeaningIn(d.lang))
	}
	b.WriteString(d.codes + d.codesHead)
	for _, code := range wechat.Codes() {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", code, code.Name(), code.Kind(), cell(code.Says()), cell(code.RemedyIn(d.lang)))
	}
	other := wechat.Code(-404)
	fmt.Fprintf(&b, "| %s | %s | %s | | %s |\n\n", d.anyOther, other.Name(), other.Kind(), other.RemedyIn(d.lang))
	b.WriteString(d.transport + d.callbacks)
	for _, f := range wechat.CallbackFaults() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f, cell(f.Meaning(d.lang)), cell(f.RemedyIn(d.lang)))
	}
	b.WriteString(d.refused)
	for _, code := range wechat.FaultCodes() {
		if code == wechat.WarnHistoricHidden {
			for _, row := range fault.Rows() {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", row.Code, cell(row.Means[d.lang]), cell(row.Do[d.lang]))
			}
			b.WriteString(d.warn)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code, cell(code.Meaning(d.lang)), cell(code.Remedy(d.lang)))
	}
	return b.String()
}

// cell escapes text for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
