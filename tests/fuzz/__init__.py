"""Mutated input for every reader: nothing but one clear sentence may come of it.

`mutators` break content, one kind of file each; `subjects` say what is broken and who reads it;
`harness` runs a subject and tells what came of each input; `guard` watches what a reader touches.
"""
