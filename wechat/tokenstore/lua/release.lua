-- Gives the lease back unused. lease, generation
release()
notify('released')
return {}
