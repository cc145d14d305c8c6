package wechattest

// words are the texts of the pages in one language.
type words struct {
	Title, Lead, Messages, Calls, Refused, Lost, Used, Quota string
	Empty, EmptyHint, Details, Mini, To, Delivered, NoBody   string
	Older, Newest, Pause, Resume, Other, OtherLang           string
	DayFormat                                                string // of time.Format
	ConsentAsk, ConsentWhat, ConsentPerson, Allow, Deny      string
	RefusedTitle, RefusedNumber                              string
}

func wordsIn(lang string) words {
	if lang == "zh" {
		return words{
			Title: "微信平台模拟器", Lead: "这里没有真实的微信：下面是关注者本会收到的模板消息。",
			Messages: "已收到", Calls: "发送调用", Refused: "被拒绝", Lost: "无应答", Used: "今日额度",
			Empty: "还没有消息", EmptyHint: "用下面的命令取得 access_token 并发送第一条：",
			Details: "详情", Mini: "小程序", To: "发给", Delivered: "送达成功",
			NoBody: "正文未保留",
			Older:  "更早的消息", Newest: "回到最新", Pause: "暂停刷新", Resume: "继续刷新",
			Other: "English", OtherLang: "en", DayFormat: "1月2日",
			Quota:      "模板消息额度",
			ConsentAsk: "申请获得以下权限", ConsentWhat: "获得你的公开信息（昵称、头像等）", ConsentPerson: "以此 openid 的身份",
			Allow: "允许", Deny: "拒绝", RefusedTitle: "无法打开该页面", RefusedNumber: "错误码",
		}
	}
	return words{
		Title: "WeChat, simulated", Lead: "No real WeChat here: these are the template messages that followers would have got.",
		Messages: "seen", Calls: "send calls", Refused: "refused", Lost: "unanswered", Used: "quota today",
		Empty: "Nothing has arrived yet", EmptyHint: "Fetch an access token and send the first message:",
		Details: "Details", Mini: "Mini program", To: "to", Delivered: "delivered",
		NoBody: "body not kept",
		Older:  "Older messages", Newest: "Newest", Pause: "Stop refreshing", Resume: "Refresh",
		Other: "中文", OtherLang: "zh", DayFormat: "Jan 2",
		Quota:      "Template message quota",
		ConsentAsk: "asks for", ConsentWhat: "your public profile (name, picture)", ConsentPerson: "as this openid",
		Allow: "Allow", Deny: "Deny", RefusedTitle: "This page cannot be opened", RefusedNumber: "error",
	}
}
