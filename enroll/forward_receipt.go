package enroll

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// receiptWait bounds one try to forward a receipt. Settling waits for it.
	receiptWait = 5 * time.Second
	// receiptPause is how long no receipt is forwarded after a failure, so that a server
	// that hangs does not hold up settling. They come again with their next look.
	receiptPause = 10 * time.Second
	// receiptTries is how often a receipt is forwarded, once a minute.
	receiptTries = 10
)

// receiptDocument is WeChat's event as it pushes it (docs: 模板消息 § 事件推送).
type receiptDocument struct {
	XMLName xml.Name         `xml:"xml"`
	To      cdata            `xml:"ToUserName"`
	From    cdata            `xml:"FromUserName"`
	Created int64            `xml:"CreateTime"`
	Type    cdata            `xml:"MsgType"`
	Event   cdata            `xml:"Event"`
	MsgID   wechat.MessageID `xml:"MsgID"`
	Status  cdata            `xml:"Status"`
}

type cdata struct {
	Text string `xml:",cdata"`
}

// forwardReceipt hands the receipt of a message that has ended to the business, under
// Account.ReceiptMsgID. errLater: it was not taken and is tried again in a minute. The
// business may get a receipt twice, as from WeChat.
func (s *Service) forwardReceipt(ctx context.Context, a *account, e entry, m *ledger.Settled) error {
	if a.ReceiptMsgID == nil || a.Forward == nil || m.Erased || !m.State.Ended() {
		return nil
	}
	began := time.Now()
	if began.UnixMilli() < a.receiptsFrom.Load() {
		return s.laterReceipt(a, e)
	}
	document, err := xml.Marshal(receiptDocument{
		To: cdata{e.To}, From: cdata{e.OpenID}, Created: e.At, Type: cdata{wechat.MsgTypeEvent}, Event: cdata{wechat.EventTemplateFinished},
		MsgID: a.ReceiptMsgID(m.ID), Status: cdata{e.Status},
	})
	if err != nil {
		return fmt.Errorf("enroll: write a receipt: %w", err)
	}
	event := &wechat.Event{
		To: e.To, OpenID: e.OpenID, CreatedAt: time.Unix(e.At, 0), MsgType: wechat.MsgTypeEvent, Name: wechat.EventTemplateFinished,
		MsgID: a.ReceiptMsgID(m.ID), Status: e.Status,
	}
	limited, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	_, err = s.callForwarder(limited, a, &wechat.Push{Event: event, Document: document})
	done := Event{Account: a.AppID, Kind: KindForwarded, Name: "ok", Took: time.Since(began)}
	if err != nil {
		done.Name = "failed"
		a.receiptsFrom.Store(time.Now().Add(receiptPause).UnixMilli())
		s.log.warn("forward "+a.AppID, "the business's own server did not take a push", zap.String("account", a.AppID), zap.Error(err))
	}
	s.cfg.OnEvent(done)
	if err != nil {
		return s.laterReceipt(a, e)
	}
	return nil
}

// laterReceipt leaves the receipt for its next look, or gives it up after the last.
func (s *Service) laterReceipt(a *account, e entry) error {
	if e.Tries < receiptTries-1 {
		return errLater
	}
	s.log.warn("receipts "+a.AppID, "a receipt was not forwarded: the business's own server did not take it for ten minutes",
		zap.String("account", a.AppID))
	return nil
}
