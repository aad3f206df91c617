"""PostgreSQL: the journal and the state of one installation in one schema of one database, for several gateways."""
