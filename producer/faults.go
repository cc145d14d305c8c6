package producer

import "github.com/wxnotify/wxnotify/internal/fault"

// Faults of the ID, the address and the delivery terms of a message, beside those that
// package wechat finds in the message itself. They are in the Faults of a
// *wechat.InvalidError; docs/errors.md has the remedies.
const (
	FaultIDMissing       = fault.IDMissing
	FaultIDInvalid       = fault.IDInvalid
	FaultAddressTwice    = fault.AddressTwice
	FaultUserInvalid     = fault.UserInvalid
	FaultClassUnknown    = fault.ClassUnknown
	FaultTemplateUnknown = fault.TemplateUnknown
	FaultNotAfterPast    = fault.NotAfterPast
	FaultWindowEmpty     = fault.WindowEmpty
	FaultTooFarAhead     = fault.TooFarAhead // of not-before and not-after
)
