// Package tokenstore keeps one access token for the whole fleet in Redis.
package tokenstore
