package simserver

// words are the texts of the page in one language.
type words struct {
	Lang, Other, OtherLang                                   string
	Title, Lead, Messages, Calls, Refused, Lost, Used, Quota string
	Empty, EmptyHint, Details, Mini, To, Delivered           string
	Older, Newest, Pause, Resume                             string
	Follower, Show, All, NoneTo                              string // the filter by follower
	DayFormat                                                string // of time.Format
}

func wordsIn(lang string) words {
	if lang == "zh" {
		return words{
			Lang: "zh", Other: "English", OtherLang: "en",
			Title: "微信平台模拟器", Lead: "这里没有真实的微信：下面是关注者本会收到的模板消息。",
			Messages: "已收到", Calls: "发送调用", Refused: "被拒绝", Lost: "无应答", Used: "今日配额", Quota: "模板消息配额",
			Empty: "还没有消息", EmptyHint: "用下面的命令取得 access_token 并发送第一条：",
			Details: "详情", Mini: "小程序", To: "发给", Delivered: "送达成功",
			Older: "更早的消息", Newest: "回到最新", Pause: "暂停刷新", Resume: "继续刷新", DayFormat: "1月2日",
			Follower: "只看某个关注者", Show: "查看", All: "全部消息", NoneTo: "没有发给该关注者的消息",
		}
	}
	return words{
		Lang: "en", Other: "中文", OtherLang: "zh",
		Title: "WeChat, simulated", Lead: "This is not WeChat. These are the template messages that followers would have got.",
		Messages: "seen", Calls: "send calls", Refused: "refused", Lost: "unanswered", Used: "quota today", Quota: "Template message quota",
		Empty: "Nothing has arrived yet", EmptyHint: "Fetch an access token and send the first message:",
		Details: "Details", Mini: "Mini program", To: "to", Delivered: "delivered",
		Older: "Older messages", Newest: "Newest", Pause: "Stop refreshing", Resume: "Refresh", DayFormat: "Jan 2",
		Follower: "Messages of one follower", Show: "Show", All: "All messages", NoneTo: "Nothing has arrived for this follower",
	}
}
