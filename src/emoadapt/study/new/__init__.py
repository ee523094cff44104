"""Proposal of a study for folders of media: `emoadapt new-study`.

`folders` finds corpora, by names (`published`), tables (`tables`, `columns`) or patterns in names (`patterns`). `classes`, `divisions` and
`encoders` propose a task and models, `composing` joins them into a study that passes `emoadapt check`, and `page` writes it.
"""
