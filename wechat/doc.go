// Package wechat calls the server API of WeChat Official Accounts.
package wechat
