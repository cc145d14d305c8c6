package enroll

import (
	"strconv"
	"strings"
	"time"
)

// pageWords are the texts of the pages in one language. They are read by
// patients and customers: what happened, and what to do now, in plain words.
type pageWords struct {
	Lang    string
	Pages   map[pageName]pageText
	Steps   map[pageName]map[reader]pageSteps // how to take up the code in the picture
	Bare    map[pageName]pageSteps            // what to do when there is no picture
	Picture string                            // the picture, for those who do not see it
	Waiting string                            // the page reloads
	Support string                            // stands before the short code
	User    string                            // stands before the user, masked
	Full    string                            // what stands on WeChat's own button under a quick look
}

// pageText is what one page says. "{s}" in it is the number of seconds to wait. No is the
// button beside Button.
type pageText struct{ Title, Lead, More, Button, No string }

// after fills in how long to wait.
func (t pageText) after(wait time.Duration) pageText {
	t.Lead = strings.ReplaceAll(t.Lead, "{s}", strconv.Itoa(max(seconds(wait), 1)))
	return t
}

// pageSteps tells what to do: one after the other, or any one of them.
type pageSteps struct {
	Either bool
	List   []string
}

// how returns the steps of a page for who reads it where he reads it.
func (t *pageWords) how(name pageName, where reader, picture bool) pageSteps {
	if picture || len(t.Bare[name].List) == 0 {
		return t.Steps[name][where]
	}
	return t.Bare[name]
}

func pageChinese() *pageWords {
	const (
		again = "再试一次"
		back  = "返回"
		ask   = "请联系给您链接的商家或机构，索取新的链接。"
	)
	scan := pageSteps{List: []string{"打开手机微信，点“＋”，选择“扫一扫”。", "对准屏幕上的二维码。", "在手机上按提示完成。"}}
	full := pageSteps{List: []string{"点屏幕右下角的“使用完整服务”。", "页面重新打开后，点“重新打开”继续。"}}
	return &pageWords{
		Lang: "zh-CN",
		Pages: map[pageName]pageText{
			pageScan:     {Title: "请在微信中打开", Lead: "只需一步，即可在微信中接收通知。", More: "二维码和链接仅供您本人使用，请勿转发。", Button: "继续"},
			pageConfirm:  {Title: "要接收通知吗？", Lead: "下面这位用户的通知会发送到您的微信。", More: "只有这是您自己的编号，才选“接收”。", Button: "是我，接收通知", No: "不是我，不接收"},
			pageEnrolled: {Title: "已登记", Lead: "如果是您用这个链接登记的，您已登记成功，无需再做什么。", More: "如果不是您登记的，请马上告诉给您链接的商家或机构。", Button: back},
			pageBound:    {Title: "已完成", Lead: "今后的通知会发送到您的微信。", More: "现在可以关闭本页。", Button: back},
			pageFollow:   {Title: "还差一步", Lead: "已为您登记。关注公众号后，才能收到通知。", Button: "继续"},
			pageSpent:    {Title: "链接已被使用", Lead: "每个链接只能使用一次，这个链接不能再用。", More: ask, Button: back},
			pageTaken:    {Title: "已有微信登记", Lead: "这位用户已经用别的微信登记，因此没有登记您的微信。", More: "如果要换成您的微信，请联系给您链接的商家或机构。", Button: back},
			pageTooMany:  {Title: "登记的人太多", Lead: "请在 {s} 秒后再试一次。", Button: again},
			pageInvalid:  {Title: "链接已失效", Lead: "这个链接可能已过期、打开次数过多，或者不完整。", More: ask, Button: back},
			pageMismatch: {Title: "信息不一致", Lead: "您的信息与登记的不一致，因此没有为您开通通知。", More: "请联系给您链接的商家或机构，核对登记的信息。", Button: back},
			pageSnapshot: {Title: "请使用完整服务", Lead: "微信正以快照方式显示本页，暂时无法继续。", Button: "重新打开"},
			pageBusy:     {Title: "微信暂时没有响应", Lead: "请稍等片刻，再试一次。", Button: again},
			pageRefused:  {Title: "您没有同意", Lead: "没有保存您的任何信息，也不会给您发送通知。", More: "如果改变了主意，可以随时再试。", Button: again},
			pageMissing:  {Title: "链接不完整", Lead: "请点开您收到的完整链接。", More: "如果仍然打不开，请联系给您链接的商家或机构。", Button: back},
			pageNotFound: {Title: "没有找到页面", Lead: "请检查打开的链接是否完整。", Button: back},
			pageError:    {Title: "出了点问题", Lead: "这是我们的问题，不是您操作有误。", More: "请稍后再试。", Button: again},
		},
		Steps: map[pageName]map[reader]pageSteps{
			pageScan: {
				readerDesk: scan, readerWeChat: scan,
				readerPhone: {Either: true, List: []string{
					"长按二维码，保存到相册；再打开微信“扫一扫”，从相册中选择它。",
					"或者复制本页地址，发给微信里的“文件传输助手”，再点开它。",
				}},
			},
			pageFollow: {
				readerDesk:   {List: []string{"打开手机微信，用“扫一扫”扫描二维码。", "点“关注公众号”。"}},
				readerWeChat: {List: []string{"长按二维码，打开图中的公众号。", "点“关注公众号”。"}},
				readerPhone:  {List: []string{"长按二维码，保存到相册。", "打开微信“扫一扫”，从相册中选择它。", "点“关注公众号”。"}},
			},
			pageSnapshot: {readerDesk: full, readerWeChat: full, readerPhone: full},
		},
		Bare: map[pageName]pageSteps{
			pageScan:   {List: []string{"复制本页地址。", "在手机微信中发给“文件传输助手”，再点开它。"}},
			pageFollow: {List: []string{"在微信中搜索这个公众号。", "点“关注公众号”。"}},
		},
		Picture: "二维码", Waiting: "完成后，本页会自动继续", Support: "如需帮助，请提供代码", User: "用户", Full: "使用完整服务",
	}
}

func pageEnglish() *pageWords {
	const (
		again = "Try again"
		back  = "Go back"
		ask   = "Please ask the sender for a new one."
	)
	scan := pageSteps{List: []string{"Open WeChat on your phone, tap “＋” at the top right, then “Scan”.", "Point it at the code on this screen.", "Follow the steps on your phone."}}
	full := pageSteps{List: []string{"Tap “使用完整服务” (use full service) at the bottom right of the screen.", "When the page is back, tap “Open again”."}}
	return &pageWords{
		Lang: "en",
		Pages: map[pageName]pageText{
			pageScan:     {Title: "Open this in WeChat", Lead: "One step, and notices will reach you in WeChat.", More: "The code and the link are for you alone. Please do not pass them on.", Button: "Continue"},
			pageConfirm:  {Title: "Receive notices?", Lead: "Notices for this user will be sent to your WeChat.", More: "Say yes only if this user is you.", Button: "Yes, send me notices", No: "No, this is not me"},
			pageEnrolled: {Title: "Already signed up", Lead: "If you signed up with this link, you are enrolled, and there is nothing more to do.", More: "If it was not you, please tell the sender at once.", Button: back},
			pageBound:    {Title: "All set", Lead: "From now on, notices will arrive in your WeChat.", More: "You can close this page.", Button: back},
			pageFollow:   {Title: "One more step", Lead: "You are signed up. Follow the account, so that notices can reach you.", Button: "Continue"},
			pageSpent:    {Title: "This link was already used", Lead: "Each link works once, and this one cannot be used again.", More: ask, Button: back},
			pageTaken:    {Title: "Another WeChat is signed up", Lead: "This user is signed up with another WeChat, so yours was not added.", More: "To use yours instead, please ask the sender of the link.", Button: back},
			pageTooMany:  {Title: "Too many people right now", Lead: "Please try again in {s} seconds.", Button: again},
			pageInvalid:  {Title: "This link no longer works", Lead: "It may be too old, opened too often, or incomplete.", More: ask, Button: back},
			pageMismatch: {Title: "The details do not match", Lead: "Yours differ from those on record, so notices were not turned on for you.", More: "Please check your details with the sender of the link.", Button: back},
			pageSnapshot: {Title: "Please use the full service", Lead: "WeChat shows only a quick look at this page, and cannot go on from it.", Button: "Open again"},
			pageBusy:     {Title: "WeChat is not answering", Lead: "Please wait a moment, then try again.", Button: again},
			pageRefused:  {Title: "You did not agree", Lead: "Nothing about you was stored, and no notice will be sent to you.", More: "If you change your mind, you can try again at any time.", Button: again},
			pageMissing:  {Title: "The link is incomplete", Lead: "Please open the whole link that you received.", More: "If it still does not open, ask the sender.", Button: back},
			pageNotFound: {Title: "Page not found", Lead: "Please check that the link is complete.", Button: back},
			pageError:    {Title: "Something went wrong", Lead: "The fault is ours. You did nothing wrong.", More: "Please try again later.", Button: again},
		},
		Steps: map[pageName]map[reader]pageSteps{
			pageScan: {
				readerDesk: scan, readerWeChat: scan,
				readerPhone: {Either: true, List: []string{
					"Press and hold the code to save it. Then open “Scan” in WeChat and choose it from your album.",
					"Or copy the address of this page, send it to “File Transfer” in WeChat, and tap it there.",
				}},
			},
			pageFollow: {
				readerDesk:   {List: []string{"Open “Scan” in WeChat on your phone, and point it at the code.", "Tap “Follow”."}},
				readerWeChat: {List: []string{"Press and hold the code, then open the account in it.", "Tap “Follow”."}},
				readerPhone:  {List: []string{"Press and hold the code to save it.", "Open “Scan” in WeChat, and choose it from your album.", "Tap “Follow”."}},
			},
			pageSnapshot: {readerDesk: full, readerWeChat: full, readerPhone: full},
		},
		Bare: map[pageName]pageSteps{
			pageScan:   {List: []string{"Copy the address of this page.", "Send it to “File Transfer” in WeChat on your phone, and tap it there."}},
			pageFollow: {List: []string{"Search for the account in WeChat.", "Tap “Follow”."}},
		},
		Picture: "QR code", Waiting: "This page then continues automatically", Support: "If you ask for help, please quote", User: "User", Full: "使用完整服务",
	}
}
