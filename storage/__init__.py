"""Everything durable: objects in S3, rows in PostgreSQL, the transition that commits a stage, the pseudonym vault."""
