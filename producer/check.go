package producer

import "time"

// Check says whether Enqueue would refuse m, without talking to Redis. The
// error is a *wechat.InvalidError with all faults at once.
func (p *Producer) Check(m Message) error {
	_, err := p.prepare(m, time.Now())
	return err
}
