"""The servers that come as Python wheels and run on loopback under the supervisor: PostgreSQL and SeaweedFS."""
