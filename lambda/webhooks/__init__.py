"""Delivery of webhooks. The API imports only `url`, and only for a request that has a webhook."""
