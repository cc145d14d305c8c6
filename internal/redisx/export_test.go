package redisx

// Worst joins the states of nodes, as ReadState does.
func Worst(nodes ...State) (worst State) {
	for _, node := range nodes {
		worst.add(node)
	}
	return worst
}
