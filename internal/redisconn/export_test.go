package redisconn

// Addrs are the addresses that a client connects to first.
func (s *Server) Addrs() []string { return s.options.Addrs }

// Worst joins the states of nodes, as ReadState does.
func Worst(nodes ...State) (worst State) {
	for _, node := range nodes {
		worst.add(node)
	}
	return worst
}
