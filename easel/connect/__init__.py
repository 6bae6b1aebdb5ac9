"""`easel connect`: the settings of clients that people already have."""
