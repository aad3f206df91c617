"""Where write-backs go: each module turns one kind of peer into a `pipeline.outbox.Destination`."""
