package wechat

// Where the console has AppID, AppSecret, API IP 白名单 and 消息推送配置 since
// 2025-12-01. 网页授权域名, 业务域名, templates and notices stayed on mp.weixin.qq.com.
// Docs: doc/service/guide/dev/migration, doc/oplatform/developers/product/subscription_service.
const (
	developerInfo   = "基础信息 > 开发信息 of the account, under 我的业务 on developers.weixin.qq.com/platform (mp.weixin.qq.com until 2025-12)"
	developerInfoZH = "微信开发者平台（developers.weixin.qq.com/platform）的“我的业务 > 服务号 > 基础信息 > 开发信息”（2025 年 12 月前在 mp.weixin.qq.com）"
)

// codeTable is the only list of errcodes. docs/errors.md and its Chinese
// version are made from it. Docs:
// 发送模板消息 § 错误码, 全局返回码.
//
//nolint:gochecknoglobals // never changed
var codeTable = [...]codeRow{
	{0, KindOK, "ok", "ok", words{"Nothing to do: WeChat accepted the call; the receipt has the final outcome of a message.", "无需处理：微信已接受调用；消息的最终结果以回执为准。"}},
	{-1, KindBusy, "system-busy", "system error", words{"Wait: the message is retried automatically. If it continues, lower the rate and check WeChat's status.", "等待即可：消息会自动重试。若持续出现，请降低速率，并查看微信的服务状态。"}},

	// The access token.
	{40001, KindToken, "invalid-credential", "invalid credential, access_token is invalid or not latest", words{"Make sure that only one program fetches this account's token, or use stable_token everywhere.", "确认只有一个程序在获取该账号的 token，或者全部改用 stable_token。"}},
	{40014, KindToken, "invalid-access-token", "invalid access_token", words{"Check that the token belongs to this account and that no other program fetches tokens for it.", "确认 token 属于该账号，且没有其他程序在获取它的 token。"}},
	{42001, KindToken, "access-token-expired", "access_token expired", words{"Check the clock of this machine and that the token is refreshed before its expiry.", "检查本机时钟，并确认 token 在过期前已刷新。"}},
	{41001, KindToken, "access-token-missing", "access_token missing", words{"Check that a proxy does not remove the query: the call arrived without its token.", "检查代理是否删掉了查询参数：请求到达时没有 token。"}},

	// The calls that fetch a token.
	{40002, KindAccount, "invalid-grant-type", "invalid grant_type", words{"Report it: the program requested a token with wrong parameters.", "请报告此问题：程序获取 token 的参数有误。"}},
	{40125, KindAccount, "invalid-appsecret", "invalid appsecret", words{"Copy the account's current AppSecret from " + developerInfo + " into the configuration; it may have been reset.", "从" + developerInfoZH + "复制当前的 AppSecret 写入配置；它可能已被重置。"}},
	{40164, KindAccount, "ip-not-in-whitelist", "invalid ip …, not in whitelist", words{"Add this machine's egress address to API IP 白名单 under " + developerInfo + "; it takes about five minutes, then sending resumes automatically.", "把本机的出口地址加入" + developerInfoZH + "的 API IP 白名单；约五分钟后生效，随后自动恢复发送。"}},
	{40243, KindAccount, "appsecret-frozen", "AppSecret frozen", words{"Unfreeze the AppSecret under " + developerInfo + "; it takes about ten minutes.", "在" + developerInfoZH + "解冻 AppSecret；约十分钟后生效。"}},
	{41002, KindAccount, "appid-missing", "appid missing", words{"Set the account's appid in the configuration.", "在配置中填写账号的 appid。"}},
	{41004, KindAccount, "appsecret-missing", "appsecret missing", words{"Set the account's AppSecret in the configuration.", "在配置中填写账号的 AppSecret。"}},
	{50004, KindAccount, "token-use-forbidden", "user not allow to use accesstoken, maybe for punishment", words{"Read the account's notices on mp.weixin.qq.com: WeChat forbids it to use the API.", "查看 mp.weixin.qq.com 的通知中心：微信禁止该账号调用接口。"}},
	{50007, KindAccount, "account-frozen", "account frozen", words{"Unfreeze the account on mp.weixin.qq.com.", "在 mp.weixin.qq.com 解冻账号。"}},
	{89501, KindAccount, "ip-confirmation-pending", "pending confirmation", words{"Ask the account's administrator to confirm this machine's address in the message that WeChat has sent.", "请账号管理员在微信发来的消息中确认本机地址。"}},
	{89503, KindAccount, "ip-needs-confirmation", "this call needs administrator confirmation", words{"Ask the account's administrator to confirm this machine's address: WeChat has sent a message about it.", "请账号管理员确认本机地址：微信已发消息给管理员。"}},
	{89506, KindAccount, "ip-refused-for-a-day", "ip refused by admin, 24h", words{"Call from a listed address, or try again after 24 hours: the administrator refused this machine's address twice.", "改用白名单内的地址调用，或 24 小时后再试：管理员已两次拒绝本机地址。"}},
	{89507, KindAccount, "ip-refused-for-an-hour", "ip refused by admin, 1h", words{"Call from a listed address, or try again after one hour: the administrator refused this machine's address.", "改用白名单内的地址调用，或一小时后再试：管理员拒绝了本机地址。"}},

	// The recipient.
	{40003, KindRecipient, "invalid-openid", "invalid openid", words{"Check that the openid belongs to this account; when many are refused in a row, the configured appid is wrong.", "确认 openid 属于该账号；若连续多个都被拒绝，说明配置的 appid 有误。"}},
	{43004, KindRecipient, "require-subscribe", "require subscribe", words{"Ask the recipient to follow the account again: only followers receive messages.", "请收件人重新关注公众号：只有关注者能收到消息。"}},
	{43019, KindRecipient, "recipient-blacklisted", "require remove blacklist", words{"Remove the recipient from the account's blacklist on mp.weixin.qq.com if the message is wanted.", "若确需发送，请在 mp.weixin.qq.com 把收件人移出黑名单。"}},
	{43101, KindRefused, "recipient-refused-template", "user refuse to accept the msg", words{"Do not send this template to this recipient for some weeks: the recipient refuses it in the account's settings in WeChat.", "数周内不要再向该收件人发送此模板：收件人在微信的公众号设置中拒收了它。"}},
	{43117, KindFrequency, "recipient-too-frequent", "Sending messages to this openid too frequently,please try later", words{"Send to this recipient less often: WeChat refuses messages for hours.", "减少发给该收件人的消息：微信会在数小时内拒绝。"}},
	{45047, KindRecipient, "response-count-exceeded", "out of response count limit", words{"Report it if it was the answer to a template send: it belongs to customer-service messages.", "若这是发送模板消息的返回，请报告：它属于客服消息。"}},
	{46004, KindRecipient, "user-not-found", "user no exist", words{"Check the openid: no WeChat user has it.", "检查 openid：没有微信用户使用它。"}},
	{48002, KindRecipient, "recipient-blocks-messages", "user block receive message", words{"Nothing to do: the recipient must allow the account's messages again.", "无需处理：须由收件人在微信中重新允许该公众号的消息。"}},
	{50002, KindRecipient, "user-limited", "user limited", words{"Nothing to do: the recipient's WeChat is frozen or cancelled. When several in a row get this code, check the account itself on mp.weixin.qq.com.", "无需处理：收件人的微信已被冻结或注销。若连续多人如此，请在 mp.weixin.qq.com 检查账号本身。"}},
	{50005, KindRecipient, "user-unsubscribed", "user is unsubscribed", words{"Ask the recipient to follow the account again.", "请收件人重新关注公众号。"}},

	// The message.
	{40008, KindMessage, "invalid-message-type", "invalid message type", words{"Report it: WeChat does not accept the body as a template message.", "请报告此问题：微信不把请求体当作模板消息。"}},
	{40013, KindMessage, "invalid-appid", "invalid appid", words{"Correct miniprogram.appid: no mini program has it.", "更正 miniprogram.appid：没有小程序使用它。"}},
	{40033, KindMessage, "invalid-charset", "invalid charset. please check your request, if include \\uxxxx will create fail!", words{"Send raw UTF-8 without \\u escapes.", "发送原始 UTF-8，不要使用 \\u 转义。"}},
	{40035, KindMessage, "invalid-args", "invalid args", words{"Compare the body with the template's fields.", "对照模板的字段检查请求体。"}},
	{40036, KindMessage, "invalid-template-id-size", "invalid template_id size", words{"Copy the template id from 模板消息 > 我的模板: its length is wrong.", "从“模板消息 > 我的模板”复制模板 ID：长度不对。"}},
	{40039, KindMessage, "invalid-url-size", "invalid url size", words{"Shorten url.", "缩短 url。"}},
	{40165, KindMessage, "invalid-miniprogram-path", "invalid weapp pagepath", words{"Correct miniprogram.pagepath: the mini program has no such published page.", "更正 miniprogram.pagepath：小程序没有已发布的该页面。"}},
	{40166, KindMessage, "invalid-miniprogram-appid", "invalid weapp appid", words{"Link the mini program to the account on mp.weixin.qq.com, or remove miniprogram.", "在 mp.weixin.qq.com 把小程序关联到公众号，或去掉 miniprogram。"}},
	{40241, KindDuplicate, "duplicate-in-60-seconds", "The message is duplicate in 60 seconds", words{"Nothing to do on a replay; otherwise do not send the same text to one recipient twice within a minute.", "若是自动重发则无需处理；否则不要在一分钟内向同一收件人发送相同内容。"}},
	{40249, KindMessage, "illegal-content", "this template msg has been blocked for illegal content", words{"Rewrite the values: WeChat treats them as marketing or forbidden content, and may ban the template when it happens again.", "修改内容：微信认为它是营销或违规内容，再次出现可能封禁模板。"}},
	{43002, KindMessage, "require-post", "require POST method", words{"Check that no proxy turns a POST into a GET.", "检查代理是否把 POST 改成了 GET。"}},
	{44002, KindMessage, "empty-post-data", "empty post data", words{"Check that no proxy removes the body.", "检查代理是否删掉了请求体。"}},
	{45002, KindMessage, "content-too-long", "content size out of limit", words{"Shorten the values.", "缩短字段内容。"}},
	{45008, KindMessage, "article-too-long", "article size out of limit", words{"Report it if it was the answer to a template send: it belongs to news messages.", "若这是发送模板消息的返回，请报告：它属于图文消息。"}},
	{47001, KindMessage, "data-format-error", "data format error", words{"Check the body's field names (touser, template_id, data): WeChat cannot decode it.", "检查请求体的字段名（touser、template_id、data）：微信无法解析。"}},
	{47002, KindMessage, "unicode-escapes", "data format error, do NOT use json unicode encode, please use utf8 encoded text!", words{"Send raw UTF-8 without \\u escapes.", "发送原始 UTF-8，不要使用 \\u 转义。"}},
	{47003, KindMessage, "invalid-argument", "argument invalid! data.<key>.value …", words{"Correct the value of the named key so that it fits the key's type and limit.", "更正所指字段的值，使其符合该字段的类型和长度限制。"}},
	{1119003, KindMessage, "unexplained-1119003", "(not documented)", words{"WeChat does not document this code: look the rid up with rid/get and report it.", "微信没有公布此返回码：用 rid/get 查询 rid 并报告。"}},
	{1119004, KindMessage, "unexplained-1119004", "(not documented)", words{"WeChat does not document this code: look the rid up with rid/get and report it.", "微信没有公布此返回码：用 rid/get 查询 rid 并报告。"}},
	{9001001, KindMessage, "invalid-post-parameter", "invalid POST parameter", words{"Compare the body with the page of the call.", "对照接口文档检查请求体。"}},
	{45168, KindMessage, "sensitive-words", "sensitive words", words{"Rewrite the values: WeChat found forbidden words in them.", "修改内容：微信在其中发现了敏感词。"}},

	// The template.
	{40037, KindTemplate, "invalid-template-id", "invalid template_id", words{"Check under 模板消息 > 我的模板 that the template exists for this account; WeChat deletes it when the industry or category changes.", "在“模板消息 > 我的模板”确认该账号有此模板；变更行业或类目时微信会删除模板。"}},
	{43116, KindTemplate, "template-banned", "This template_id is banned", words{"Use another template: WeChat banned this one for its content.", "改用其他模板：微信因内容封禁了它。"}},

	// Quotas.
	{45009, KindQuota, "daily-quota", "reach max api daily quota limit", words{"Wait for the reset at midnight, or raise the account's quota; sending resumes automatically.", "等待零点重置，或申请提高账号的配额；发送会自动恢复。"}},
	{45011, KindRate, "minute-quota", "api minute-quota reach limit, must slower, retry next minute", words{"Lower the rate if it happens again: sending slows down automatically.", "若再次出现请降低速率：发送会自动放慢。"}},
	{48006, KindManagement, "clear-quota-exhausted", "forbid to clear quota because of reaching the limit", words{"Wait for next month: an account may clear its quotas ten times a month.", "等到下个月：每个账号每月只能清零十次。"}},

	// The account.
	{43104, KindAccount, "appid-without-permission", "this appid does not have permission", words{"Apply for the permission on mp.weixin.qq.com.", "在 mp.weixin.qq.com 申请该权限。"}},
	{45035, KindAccount, "client-ip-not-registered", "access clientip is not registered, not in ip-white-list", words{"Add this machine's egress address to API IP 白名单 under " + developerInfo + ", or to the list of the third-party platform that acts for the account; it takes about five minutes.", "把本机的出口地址加入" + developerInfoZH + "的 API IP 白名单（由第三方平台代调用时加入平台的白名单）；约五分钟后生效。"}},
	{45109, KindAccount, "api-withdrawn", "api unsupported", words{"Stop using this API: WeChat withdrew it.", "停止使用该接口：微信已下线它。"}},
	{48001, KindAccount, "api-unauthorized", "api unauthorized", words{"Check that the account is a verified service account with the template-message permission, and that the token is its own.", "确认账号是已认证的服务号并开通了模板消息，且 token 属于该账号。"}},
	{48003, KindAccount, "mass-send-not-agreed", "user not agree mass-send protocol", words{"Accept the agreement on mp.weixin.qq.com.", "在 mp.weixin.qq.com 同意该协议。"}},
	{48004, KindAccount, "api-forbidden", "api forbidden for irregularities, view detail on mp.weixin.qq.com", words{"Read the punishment notice on mp.weixin.qq.com and act on it.", "查看 mp.weixin.qq.com 上的处罚通知并按要求处理。"}},
	{48008, KindAccount, "message-type-without-permission", "no permission for this message type", words{"Apply for the permission on mp.weixin.qq.com.", "在 mp.weixin.qq.com 申请该权限。"}},
	{50001, KindAccount, "user-unauthorized", "api unauthorized or user unauthorized", words{"Check the account's permissions on mp.weixin.qq.com.", "在 mp.weixin.qq.com 检查账号的接口权限。"}},
	{61003, KindAccount, "component-not-authorized", "component is not authorized by this account", words{"Authorize the third-party platform again.", "重新授权第三方平台。"}},
	{61004, KindAccount, "client-ip-not-in-whitelist", "access clientip is not registered", words{"Add this machine's egress address to API IP 白名单 under " + developerInfo + ", or to the list of the third-party platform that acts for the account; it takes about five minutes, then sending resumes automatically.", "把本机的出口地址加入" + developerInfoZH + "的 API IP 白名单（由第三方平台代调用时加入平台的白名单）；约五分钟后生效，随后自动恢复发送。"}},
	{61007, KindAccount, "component-without-permission", "api is unauthorized to component", words{"Grant the third-party platform this permission.", "向第三方平台授予该权限。"}},
	{61023, KindAccount, "component-refresh-token-invalid", "refresh_token is invalid", words{"Authorize the third-party platform again.", "重新授权第三方平台。"}},

	// Template management.
	{40246, KindManagement, "keyword-name-invalid", "keyword name invalid", words{"Take the keyword names from the template library, as raw UTF-8.", "使用模板库中的关键词名称，发送原始 UTF-8。"}},
	{40247, KindManagement, "category-template-needed", "need category template id", words{"Add a template of the account's category: historic templates can no longer be added.", "添加账号所属类目的模板：历史模板已不能再添加。"}},
	{43100, KindManagement, "template-changed-too-often", "change template too frequently", words{"Wait before changing templates or the industry again.", "过一段时间再变更模板或行业。"}},
	{43106, KindManagement, "template-add-punished", "not allow to add template, for punishment", words{"Read the punishment notice on mp.weixin.qq.com.", "查看 mp.weixin.qq.com 上的处罚通知。"}},
	{45026, KindManagement, "template-limit", "template num exceeds limit", words{"Delete a template first: an account has 25.", "先删除一个模板：每个账号最多 25 个。"}},
	{45027, KindManagement, "template-industry-conflict", "template conflict with industry", words{"Choose a template of the account's own industry or category.", "选择账号所属行业或类目的模板。"}},

	// Subscription notices and account migration: other calls of the family.
	{43107, KindManagement, "subscribe-banned", "subscription messages are banned", words{"Read the account's notices on mp.weixin.qq.com: its subscription messages, or this template, are banned.", "查看 mp.weixin.qq.com 的通知中心：该账号的订阅通知或该模板已被封禁。"}},
	{43108, KindManagement, "concurrent-to-recipient", "Cannot make concurrent calls to the same OpenID", words{"Send one message after the other to one recipient: WeChat refuses two calls for it at once.", "同一收件人的消息请逐条发送：微信拒绝对同一 openid 的并发调用。"}},
	{45103, KindManagement, "unexplained-45103", "(not documented)", words{"WeChat does not document this code: look the rid up with rid/get and report it.", "微信没有公布此返回码：用 rid/get 查询 rid 并报告。"}},
	{63178, KindManagement, "openid-not-convertible", "ori_openid error", words{"Check that the openid belongs to the account that was migrated: only its openids, within 15 days after the migration, are converted.", "确认该 openid 属于被迁移的账号：只有它的 openid 能转换，且须在迁移后 15 天内。"}},

	// Calls with a wrong verb.
	{43001, KindManagement, "require-get", "require GET method", words{"Report it, and check that no proxy changes the method.", "请报告此问题，并检查代理是否改变了请求方法。"}},
	{43003, KindManagement, "require-https", "require https", words{"Use https:// in the base URL.", "在 base URL 中使用 https://。"}},

	// Web authorization (enrolment).
	{40029, KindManagement, "invalid-code", "invalid code", words{"Start the authorization again: a code is valid once, for five minutes, for the account that requested it.", "重新授权：code 只能用一次，五分钟内有效，且只对发起授权的账号有效。"}},
	{40030, KindManagement, "invalid-refresh-token", "invalid refresh_token", words{"Start the authorization again.", "重新授权。"}},
	{40062, KindManagement, "invalid-title-size", "invalid title size", words{"Shorten the title to 15 characters.", "把标题缩短到 15 个字以内。"}},
	{40163, KindManagement, "code-used", "code been used", words{"Start the authorization again: this code has been used.", "重新授权：该 code 已被使用。"}},
	{41008, KindManagement, "code-missing", "missing code", words{"Start the authorization again: the browser returned without a code.", "重新授权：浏览器返回时没有带 code。"}},
	{41009, KindManagement, "oauth-openid-missing", "missing openid", words{"Set the user's openid in the call.", "在调用中填写用户的 openid。"}},
	{42002, KindManagement, "refresh-token-expired", "refresh_token expired", words{"Start the authorization again: a refresh token is valid for 30 days.", "重新授权：refresh_token 有效期为 30 天。"}},
	{42003, KindManagement, "code-expired", "code expired", words{"Start the authorization again: a code is valid for five minutes.", "重新授权：code 有效期为五分钟。"}},
	{42007, KindManagement, "password-changed", "user changed password, token invalid", words{"Start the authorization again: the user changed the password.", "重新授权：用户修改了密码。"}},

	// Parametric QR codes and short keys.
	{45029, KindManagement, "qrcode-limit", "qrcode count out of limit", words{"Use temporary QR codes: an account has 100 000 permanent ones.", "改用临时二维码：每个账号最多 10 万个永久二维码。"}},
	{9410010, KindManagement, "short-data-too-long", "long_data too long", words{"Shorten long_data to 4 KB.", "把 long_data 缩短到 4 KB 以内。"}},
	{9410011, KindManagement, "short-expiry-invalid", "expire_seconds invalid", words{"Set expire_seconds between 1 and 2592000.", "expire_seconds 应在 1 到 2592000 之间。"}},
	{9410012, KindManagement, "short-key-invalid", "short_key missing, expired or of another account", words{"Make a new short key.", "重新生成 short_key。"}},

	// rid/get and quota/get.
	{76001, KindManagement, "rid-not-found", "rid not found", words{"Copy the rid from the error again.", "从错误信息中重新复制 rid。"}},
	{76002, KindManagement, "rid-invalid", "invalid rid", words{"Copy the rid from the error again: it is three groups of eight hex digits.", "从错误信息中重新复制 rid：它由三组八位十六进制数组成。"}},
	{76003, KindManagement, "rid-or-path-refused", "rid of another account, or cgi_path with a host", words{"Use the token of the account that made the call, and a cgi_path without a host.", "使用发起该调用的账号的 token，cgi_path 不要带域名。"}},
	{76004, KindManagement, "rid-too-old", "rid older than 7 days", words{"Nothing to do: WeChat keeps the record of a call for seven days.", "无需处理：微信只保留七天内的调用记录。"}},
	{76021, KindManagement, "quota-path-not-found", "cgi_path not found, please check", words{"Use the path in WeChat's documentation, starting with a slash.", "使用微信文档中的路径，以斜杠开头。"}},
	{76022, KindManagement, "quota-path-refused", "cgi_path cannot be used with this token", words{"Use the token of the account that calls the API.", "使用调用该接口的账号的 token。"}},
}
