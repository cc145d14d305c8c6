package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// sampleMessage makes the nth message for the simulator's own templates.
func sampleMessage(n int) *wechat.TemplateMessage {
	m := &wechat.TemplateMessage{ToUser: fmt.Sprintf("oSimulated%018d", n%1000), Data: map[string]wechat.Field{}}
	pick := func(values ...string) string { return values[n/3%len(values)] }
	set := func(key, value string) { m.Data[key] = wechat.Field{Value: value} }
	switch n % 3 {
	case 0:
		m.TemplateID = wechattest.TemplateOrderPaid
		m.URL = fmt.Sprintf("https://shop.example/orders/%d?from=wx&lang=zh", 1000+n)
		set("thing1", pick("手冲咖啡 & 司康", "时令水果 <大份>", "桂花乌龙茶"))
		set("time2", "2026年11月22日 09:30")
		set("amount3", fmt.Sprintf("¥%d.50", 18+n%40))
	case 1:
		m.TemplateID = wechattest.TemplateLabResult
		m.MiniProgram = &wechat.MiniProgram{AppID: "wx0123456789abcdef", PagePath: fmt.Sprintf("pages/report?id=%d", n)}
		set("thing1", pick("王芳", "李雷", "欧阳娜娜"))
		set("thing2", pick("血常规", "肝功能", "甲状腺功能"))
		set("character_string3", fmt.Sprintf("LAB20261122%04d", n))
		set("time4", "2026-11-22 10:05")
	default:
		m.TemplateID = wechattest.TemplateDelivery
		set("thing1", pick("顺丰速运", "京东物流"))
		set("character_string2", fmt.Sprintf("SF%010d", 1000000000+n))
		set("phone_number3", "0571-88888888")
		set("const4", pick("已发货", "配送中", "已签收"))
	}
	return m
}

// sampleSource yields n samples under fresh IDs.
func sampleSource(n int, terms producer.Terms) source {
	run := strings.ToLower(rand.Text()[:8])
	done := 0
	return func() (item, error) {
		if done == n {
			return item{}, io.EOF
		}
		done++
		message := producer.Message{ID: fmt.Sprintf("sample-%s-%d", run, done), Message: sampleMessage(done - 1), Terms: terms}
		return item{request: intake.Request{Bare: true, Message: message}}, nil
	}
}
