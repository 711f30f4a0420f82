"""The pages people look at; they speak to the gateway over HTTP and hold no other key."""
