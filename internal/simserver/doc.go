// Package simserver serves a wechattest.Platform on a port: the API under WeChat's
// own paths, a control API under /_sim/, and a page at / that lists the messages
// that arrived. "wxnotify simulate" and "wxnotify demo" use it. docs/simulator.md
// describes the control API.
package simserver
