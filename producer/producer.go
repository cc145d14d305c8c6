// Package producer is how a business app puts messages on the queue and asks
// what became of them.
package producer
