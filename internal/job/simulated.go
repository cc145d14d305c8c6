package job

import "strings"

// simulatedPrefix starts the recipients that exist nowhere: a message to one of
// them ends as its name says, without WeChat and without quota. No openid of
// WeChat's starts so.
const simulatedPrefix = "wxn-sim-"

// Simulated reports whether the openid is a simulated recipient.
func Simulated(openid string) bool { return strings.HasPrefix(openid, simulatedPrefix) }

// SimulatedOutcome is the outcome that a simulated recipient names, such as
// delivered, user-block or 43004. For a usual openid, as of a test message, it is
// delivered.
func SimulatedOutcome(openid string) string {
	if outcome, ok := strings.CutPrefix(openid, simulatedPrefix); ok {
		return outcome
	}
	return "delivered"
}
