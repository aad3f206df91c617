"""The one place where settings, stores, adapters and the core meet. Nothing is decided here that is not plumbing.

installation  the secrets and folders of one installation    sets       mapping, rules and settings, in force by entry
processes     what each process of `serve` is made of        explain    where a value came from
"""
