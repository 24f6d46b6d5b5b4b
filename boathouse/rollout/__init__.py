"""Roll-outs: how a new image comes to the clusters that follow a track, and back when it does not hold.

A row is a wish; `reconciler` brings it on, round by round: `look` at rows and clusters, `plan` (pure; the waves in `waves`)
says the next step, `effects` carry it out through the same functions that the API calls, as whoever started the roll-out, and
everything is written in one transaction. What a track names stands in `compute.tracks`: it is changed here alone, in
`promotion`. This room is above clusters and commands; none of them knows it.
"""
