"""The review engine: pure functions from a diff and findings to what is posted.

`diff` and `anchors` know lines, `findings` and `suggestions` what a model reports, `fingerprints` and
`patch_ids` what stays the same between two pushes, `plan` what is read, `selection` what is posted.
"""
