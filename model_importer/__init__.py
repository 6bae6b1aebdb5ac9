"""Import of a model into a release, from a hub or from S3: streamed, checked, and without fetching anything twice."""
