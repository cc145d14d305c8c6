package wechat

// codeTable is the only list of errcodes. docs/errors.md is made from it. Docs:
// 发送模板消息 § 错误码, 全局返回码.
//
//nolint:gochecknoglobals // never changed
var codeTable = [...]codeRow{
	{0, KindOK, "ok", "ok", "Nothing to do: WeChat accepted the call; the receipt has the final outcome of a message."},
	{-1, KindBusy, "system-busy", "system error", "Wait: the message is retried automatically. If it continues, lower the rate and check WeChat's status."},

	// The access token.
	{40001, KindToken, "invalid-credential", "invalid credential, access_token is invalid or not latest", "Make sure that only one program fetches this account's token, or use stable_token everywhere."},
	{40014, KindToken, "invalid-access-token", "invalid access_token", "Check that the token belongs to this account and that no other program fetches tokens for it."},
	{42001, KindToken, "access-token-expired", "access_token expired", "Check the clock of this machine and that the token is refreshed before its expiry."},
	{41001, KindToken, "access-token-missing", "access_token missing", "Check that a proxy does not remove the query: the call arrived without its token."},

	// The calls that fetch a token.
	{40002, KindAccount, "invalid-grant-type", "invalid grant_type", "Report it: the program requested a token with wrong parameters."},
	{40125, KindAccount, "invalid-appsecret", "invalid appsecret", "Put the account's current AppSecret into the configuration; it may have been reset on mp.weixin.qq.com."},
	{40164, KindAccount, "ip-not-in-whitelist", "invalid ip …, not in whitelist", "Add this machine's public address to the IP whitelist on mp.weixin.qq.com; it takes about five minutes, then sending resumes automatically."},
	{40243, KindAccount, "appsecret-frozen", "AppSecret frozen", "Unfreeze the AppSecret under 设置与开发 on mp.weixin.qq.com."},
	{41002, KindAccount, "appid-missing", "appid missing", "Set the account's appid in the configuration."},
	{41004, KindAccount, "appsecret-missing", "appsecret missing", "Set the account's AppSecret in the configuration."},
	{50004, KindAccount, "token-use-forbidden", "user not allow to use accesstoken, maybe for punishment", "Read the account's notices on mp.weixin.qq.com: WeChat forbids it to use the API."},
	{50007, KindAccount, "account-frozen", "account frozen", "Unfreeze the account on mp.weixin.qq.com."},
	{89501, KindAccount, "ip-confirmation-pending", "pending confirmation", "Ask the account's administrator to confirm this machine's address in the message that WeChat has sent."},
	{89503, KindAccount, "ip-needs-confirmation", "this call needs administrator confirmation", "Ask the account's administrator to confirm this machine's address: WeChat has sent a message about it."},
	{89506, KindAccount, "ip-refused-for-a-day", "ip refused by admin, 24h", "Call from a listed address, or try again after 24 hours: the administrator refused this machine's address twice."},
	{89507, KindAccount, "ip-refused-for-an-hour", "ip refused by admin, 1h", "Call from a listed address, or try again after one hour: the administrator refused this machine's address."},

	// The recipient.
	{40003, KindRecipient, "invalid-openid", "invalid openid", "Check that the openid belongs to this account; when many are refused in a row, the configured appid is wrong."},
	{43004, KindRecipient, "require-subscribe", "require subscribe", "Ask the recipient to follow the account again: only followers receive messages."},
	{43019, KindRecipient, "recipient-blacklisted", "require remove blacklist", "Remove the recipient from the account's blacklist on mp.weixin.qq.com if the message is wanted."},
	{43101, KindRefused, "recipient-refused-template", "user refuse to accept the msg", "Do not send this template to this recipient for some weeks: the recipient refuses it in the account's settings in WeChat."},
	{43117, KindFrequency, "recipient-too-frequent", "Sending messages to this openid too frequently,please try later", "Send to this recipient less often: WeChat refuses messages for hours."},
	{45047, KindRecipient, "response-count-exceeded", "out of response count limit", "Report it if it was the answer to a template send: it belongs to customer-service messages."},
	{46004, KindRecipient, "user-not-found", "user no exist", "Check the openid: no WeChat user has it."},
	{48002, KindRecipient, "recipient-blocks-messages", "user block receive message", "Nothing to do: the recipient must allow the account's messages again."},
	{50002, KindRecipient, "user-limited", "user limited", "Nothing to do: the recipient's WeChat is frozen or cancelled. When several in a row get this code, check the account itself on mp.weixin.qq.com."},
	{50005, KindRecipient, "user-unsubscribed", "user is unsubscribed", "Ask the recipient to follow the account again."},

	// The message.
	{40008, KindMessage, "invalid-message-type", "invalid message type", "Report it: WeChat does not accept the body as a template message."},
	{40013, KindMessage, "invalid-appid", "invalid appid", "Correct miniprogram.appid: no mini program has it."},
	{40033, KindMessage, "invalid-charset", "invalid charset. please check your request, if include \\uxxxx will create fail!", "Send raw UTF-8 without \\u escapes."},
	{40035, KindMessage, "invalid-args", "invalid args", "Compare the body with the template's fields."},
	{40036, KindMessage, "invalid-template-id-size", "invalid template_id size", "Copy the template id from 模板消息 > 我的模板: its length is wrong."},
	{40039, KindMessage, "invalid-url-size", "invalid url size", "Shorten url."},
	{40165, KindMessage, "invalid-miniprogram-path", "invalid weapp pagepath", "Correct miniprogram.pagepath: the mini program has no such published page."},
	{40166, KindMessage, "invalid-miniprogram-appid", "invalid weapp appid", "Link the mini program to the account on mp.weixin.qq.com, or remove miniprogram."},
	{40241, KindDuplicate, "duplicate-in-60-seconds", "The message is duplicate in 60 seconds", "Nothing to do on a replay; otherwise do not send the same text to one recipient twice within a minute."},
	{40249, KindMessage, "illegal-content", "this template msg has been blocked for illegal content", "Rewrite the values: WeChat treats them as marketing or forbidden content, and may ban the template when it happens again."},
	{43002, KindMessage, "require-post", "require POST method", "Check that no proxy turns a POST into a GET."},
	{44002, KindMessage, "empty-post-data", "empty post data", "Check that no proxy removes the body."},
	{45002, KindMessage, "content-too-long", "content size out of limit", "Shorten the values."},
	{45008, KindMessage, "article-too-long", "article size out of limit", "Report it if it was the answer to a template send: it belongs to news messages."},
	{47001, KindMessage, "data-format-error", "data format error", "Check the body's field names (touser, template_id, data): WeChat cannot decode it."},
	{47002, KindMessage, "unicode-escapes", "data format error, do NOT use json unicode encode, please use utf8 encoded text!", "Send raw UTF-8 without \\u escapes."},
	{47003, KindMessage, "invalid-argument", "argument invalid! data.<key>.value …", "Correct the value of the named key so that it fits the key's type and limit."},
	{1119003, KindMessage, "unexplained-1119003", "(not documented)", "WeChat does not document this code: look the rid up with rid/get and report it."},
	{1119004, KindMessage, "unexplained-1119004", "(not documented)", "WeChat does not document this code: look the rid up with rid/get and report it."},
	{9001001, KindMessage, "invalid-post-parameter", "invalid POST parameter", "Compare the body with the page of the call."},

	// The template.
	{40037, KindTemplate, "invalid-template-id", "invalid template_id", "Check under 模板消息 > 我的模板 that the template exists for this account; WeChat deletes it when the industry or category changes."},
	{43116, KindTemplate, "template-banned", "This template_id is banned", "Use another template: WeChat banned this one for its content."},

	// Quotas.
	{45009, KindQuota, "daily-quota", "reach max api daily quota limit", "Wait for the reset at midnight, or raise the account's quota; sending resumes automatically."},
	{45011, KindRate, "minute-quota", "api minute-quota reach limit, must slower, retry next minute", "Lower the rate if it happens again: sending slows down automatically."},
	{48006, KindManagement, "clear-quota-exhausted", "forbid to clear quota because of reaching the limit", "Wait for next month: an account may clear its quotas ten times a month."},

	// The account.
	{43104, KindAccount, "appid-without-permission", "this appid does not have permission", "Apply for the permission on mp.weixin.qq.com."},
	{45035, KindAccount, "client-ip-not-registered", "access clientip is not registered, not in ip-white-list", "Add this machine's public address to the whitelist of the account or of the platform that acts for it."},
	{45109, KindAccount, "api-withdrawn", "api unsupported", "Stop using this API: WeChat withdrew it."},
	{48001, KindAccount, "api-unauthorized", "api unauthorized", "Check that the account is a verified service account with the template-message permission, and that the token is its own."},
	{48003, KindAccount, "mass-send-not-agreed", "user not agree mass-send protocol", "Accept the agreement on mp.weixin.qq.com."},
	{48004, KindAccount, "api-forbidden", "api forbidden for irregularities, view detail on mp.weixin.qq.com", "Read the punishment notice on mp.weixin.qq.com and act on it."},
	{48008, KindAccount, "message-type-without-permission", "no permission for this message type", "Apply for the permission on mp.weixin.qq.com."},
	{50001, KindAccount, "user-unauthorized", "api unauthorized or user unauthorized", "Check the account's permissions on mp.weixin.qq.com."},
	{61003, KindAccount, "component-not-authorized", "component is not authorized by this account", "Authorize the third-party platform again."},
	{61004, KindAccount, "component-ip-not-registered", "access clientip is not registered", "Register this machine's address with the third-party platform."},
	{61007, KindAccount, "component-without-permission", "api is unauthorized to component", "Grant the third-party platform this permission."},
	{61023, KindAccount, "component-refresh-token-invalid", "refresh_token is invalid", "Authorize the third-party platform again."},

	// Template management.
	{40246, KindManagement, "keyword-name-invalid", "keyword name invalid", "Take the keyword names from the template library, as raw UTF-8."},
	{40247, KindManagement, "category-template-needed", "need category template id", "Add a template of the account's category: historic templates can no longer be added."},
	{43100, KindManagement, "template-changed-too-often", "change template too frequently", "Wait before changing templates or the industry again."},
	{43106, KindManagement, "template-add-punished", "not allow to add template, for punishment", "Read the punishment notice on mp.weixin.qq.com."},
	{45026, KindManagement, "template-limit", "template num exceeds limit", "Delete a template first: an account has 25."},
	{45027, KindManagement, "template-industry-conflict", "template conflict with industry", "Choose a template of the account's own industry or category."},

	// Calls with a wrong verb.
	{43001, KindManagement, "require-get", "require GET method", "Report it, and check that no proxy changes the method."},
	{43003, KindManagement, "require-https", "require https", "Use https:// in the base URL."},

	// Web authorization (enrolment).
	{40029, KindManagement, "invalid-code", "invalid code", "Start the authorization again: a code is valid once, for five minutes, for the account that requested it."},
	{40030, KindManagement, "invalid-refresh-token", "invalid refresh_token", "Start the authorization again."},
	{40062, KindManagement, "invalid-title-size", "invalid title size", "Shorten the title to 15 characters."},
	{40163, KindManagement, "code-used", "code been used", "Start the authorization again: this code has been used."},
	{41008, KindManagement, "code-missing", "missing code", "Start the authorization again: the browser returned without a code."},
	{41009, KindManagement, "oauth-openid-missing", "missing openid", "Set the user's openid in the call."},
	{42002, KindManagement, "refresh-token-expired", "refresh_token expired", "Start the authorization again: a refresh token is valid for 30 days."},
	{42003, KindManagement, "code-expired", "code expired", "Start the authorization again: a code is valid for five minutes."},
	{42007, KindManagement, "password-changed", "user changed password, token invalid", "Start the authorization again: the user changed the password."},

	// Parametric QR codes and short keys.
	{45029, KindManagement, "qrcode-limit", "qrcode count out of limit", "Use temporary QR codes: an account has 100 000 permanent ones."},
	{9410010, KindManagement, "short-data-too-long", "long_data too long", "Shorten long_data to 4 KB."},
	{9410011, KindManagement, "short-expiry-invalid", "expire_seconds invalid", "Set expire_seconds between 1 and 2592000."},
	{9410012, KindManagement, "short-key-invalid", "short_key missing, expired or of another account", "Make a new short key."},

	// rid/get and quota/get.
	{76001, KindManagement, "rid-not-found", "rid not found", "Copy the rid from the error again."},
	{76002, KindManagement, "rid-invalid", "invalid rid", "Copy the rid from the error again: it is three groups of eight hex digits."},
	{76003, KindManagement, "rid-or-path-refused", "rid of another account, or cgi_path with a host", "Use the token of the account that made the call, and a cgi_path without a host."},
	{76004, KindManagement, "rid-too-old", "rid older than 7 days", "Nothing to do: WeChat keeps the record of a call for seven days."},
	{76021, KindManagement, "quota-path-not-found", "cgi_path not found, please check", "Use the path in WeChat's documentation, starting with a slash."},
	{76022, KindManagement, "quota-path-refused", "cgi_path cannot be used with this token", "Use the token of the account that calls the API."},
}
