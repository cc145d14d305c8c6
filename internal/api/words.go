package api

// chinese is a text of ours in Chinese: of a problem's detail, with the verbs of fmt in
// the same order, or of a fault. A text that is not in the table stays as it is.
func chinese(text string) string {
	zh, ok := map[string]string{
		"there is no %s; see /docs":                                                                "没有 %s；请看 /docs",
		"%s does not take %s":                                                                      "%s 不支持 %s",
		"the key belongs to the account %s":                                                        "该密钥属于公众号 %s",
		"this process does not serve the account %s":                                               "本进程不服务公众号 %s",
		"too many calls with a wrong key came from this address":                                   "该地址使用错误密钥的调用过多",
		"send the header Authorization: Bearer wxn_live_…":                                         "请发送请求头 Authorization: Bearer wxn_live_…",
		"the key is unknown, or was revoked":                                                       "密钥不存在或已吊销",
		"the key may make %d calls a second":                                                       "该密钥每秒最多调用 %d 次",
		"the key has not the scope %s":                                                             "该密钥没有权限 %s",
		"send the header Content-Type: application/json":                                           "请发送请求头 Content-Type: application/json",
		"the body ended early":                                                                     "请求体不完整",
		"the Idempotency-Key has up to 128 printable ASCII characters without spaces":              "Idempotency-Key 最多 128 个可打印的 ASCII 字符，不含空格",
		"use a new Idempotency-Key for another request":                                            "不同的请求请使用新的 Idempotency-Key",
		"the first call with this Idempotency-Key has not been answered yet":                       "使用该 Idempotency-Key 的第一次调用尚未得到应答",
		"the first answer was sealed with the key's former secret: read the messages by their IDs": "第一次的应答用旧密钥加密：请按 ID 读取消息",
		"%d faults": "%d 处错误",
		"1 fault":   "1 处错误",
		"the key may use class %s and less urgent ones":                                  "该密钥只能使用级别 %s 及更低的级别",
		"the recipient is not in the key's guest list":                                   "收件人不在该密钥的名单中",
		"set WXNOTIFY_PUBLIC_URL and WXNOTIFY_ENROLL_KEY":                                "请设置 WXNOTIFY_PUBLIC_URL 和 WXNOTIFY_ENROLL_KEY",
		"is not a duration such as 24h":                                                  "不是时长，例如 24h",
		"the user has no binding: they have not enrolled, or were unbound":               "该用户没有绑定：尚未登记或已解绑",
		"is not a cursor that was given out: begin without one":                          "不是本接口给出的游标：请去掉它重新开始",
		"the query cannot be read":                                                       "查询参数无法解析",
		"is there twice":                                                                 "出现了两次",
		"must be attempts, once":                                                         "只能是 attempts，且只出现一次",
		"is not a state; see /docs":                                                      "不是消息状态；请看 /docs",
		"is not an errcode such as 43004":                                                "不是 errcode，例如 43004",
		"is not a number from 1 to 1000":                                                 "不是 1 到 1000 的整数",
		"is not a time such as 2026-12-01T00:00:00Z":                                     "不是时间，例如 2026-12-01T00:00:00Z",
		"has more than one JSON value":                                                   "包含多个 JSON 值",
		"is not a field of this call; see /docs":                                         "不是该接口的字段；请看 /docs",
		"has the wrong type; see /docs":                                                  "类型不对；请看 /docs",
		"the body is not a JSON object":                                                  "请求体不是 JSON 对象",
		theBody:                                                                          "请求体",
		"the ID %s belongs to another message: choose a new ID for other content":        "ID %s 已用于另一条消息：内容不同请换新的 ID",
		"the message %s is %s":                                                           "消息 %s 的状态是 %s",
		"the key has used %d of its %d messages of the day, and the call has %d":         "该密钥当日可发 %[2]d 条，已用 %[1]d 条，本次调用有 %[3]d 条",
		"there is no message with this ID, or it ended longer ago than it is remembered": "没有该 ID 的消息，或它结束已久，记录已过期",
		"a worker is completing the task of an earlier message with this ID: repeat the call in a second": "worker 正在完成使用该 ID 的上一条消息的任务：请一秒后重试",
		"the body has more than %d bytes: cut the call in several":                                        "请求体超过 %d 字节：请分多次调用",
		"nothing was enqueued: give Redis more memory, then repeat the call":                              "没有入队：请增加 Redis 内存后重试",
		"it is not known whether the call was done: repeat it with the same ID":                           "不确定调用是否已执行：请用相同的 ID 重试",
		"is neither the id of an event nor now":                                                           "既不是事件的 id，也不是 now",
		"is not a parameter of this call; see /docs":                                                      "不是该接口的参数；请看 /docs",
		"is not a whole number from 1 to 1000":                                                            "不是 1 到 1000 的整数",
		"is not a duration such as 20s":                                                                   "不是时长，例如 20s",
		"the key has not the scope %s, which openids need":                                                "该密钥没有权限 %s，而 openid 需要它",
		"there is no webhook of this id":                                                                  "没有该 id 的 webhook",
		"is required: a time such as 2026-12-01T08:00:00+08:00":                                           "必须填写：时间，例如 2026-12-01T08:00:00+08:00",
		"the log has the cause under this request_id":                                                     "原因见日志中的该 request_id",
	}[text]
	if !ok {
		return text
	}
	return zh
}
