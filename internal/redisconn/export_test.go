package redisconn

// Addrs are the addresses that a client connects to first.
func (s *Server) Addrs() []string { return s.options.Addrs }
