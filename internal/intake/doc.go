// Package intake reads the messages that callers hand in, for the command line and
// the HTTP API: one message by Parse, a batch by ParseBody, a stream by Reader.
//
// A message has one of two forms: WeChat's body of a template message, or our own
// with an id and delivery terms around it:
//
//	{"id":"order-1001-paid","class":"critical","not_after":"2026-11-22T09:00:00+08:00",
//	 "message":{"touser":"o…","template_id":"…","data":{"thing1":{"value":"咖啡"}}}}
//
// Nothing is dropped, repaired or guessed: unknown fields, duplicate keys, wrong
// types and text that was damaged on its way are refused, all at once, each with
// its path.
package intake
