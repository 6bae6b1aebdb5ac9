"""Brings a model into a release: from a hub or from S3, as a stream, checked, and nothing twice."""
