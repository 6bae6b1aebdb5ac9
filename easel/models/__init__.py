"""`easel models`: bring models into the catalogue and onto this machine."""
