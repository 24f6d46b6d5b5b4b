"""Known vulnerabilities of what is installed in an image: advisories kept locally, matched by each ecosystem's own versions.

`model` what is spoken of, `osv` and `debian_tracker` the formats, `database` the local copy, `versions` and `severity` the
comparisons, `ignores` what people decided about findings, `scan` the pure match, `origin` what is the base's.
"""
