"""One request out, one answer back, through the guard.

`client` reads answers, `pool` keeps connections, `dial` makes them, and `http1` and `http2` speak on them. The seam is
`transport`.
"""
