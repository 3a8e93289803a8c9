"""What a person should know: looked for every now and then, told once, in the log and to a webhook.

`reading` looks at the pipeline, `rules` judges what was seen, `tracker` finds what changed, `outbox` keeps what the
webhook has not confirmed, and `watch` does all of it, over and over.
"""
