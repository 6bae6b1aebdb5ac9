"""`easel mcp`: Easel as a tool of AI assistants."""
